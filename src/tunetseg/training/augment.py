"""Random changes to a patch, on whatever device it lies, drawn from the patch's own seed."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tunetseg.training.recipes import Augmentation

__all__ = ["augment"]


def augment(image: Tensor, masks: Tensor, seeds: Tensor, settings: Augmentation) -> tuple[Tensor, Tensor]:
    """Change each sample of a batch.

    Args:
        image: float32, shape (batch, channel, x, y, z), background 0.
        masks: Region masks, float32 0 or 1, shape (batch, region, x, y, z).
        seeds: One whole number a sample; the same number gives the same change.
        settings: What is changed, and how much.

    Returns:
        Image and masks of the same shapes. Masks are turned as masks and cut at one half, so they stay nested
        and no label is ever averaged with another.
    """
    images, targets = [], []
    for one, mask, seed in zip(image, masks, seeds.tolist(), strict=True):
        generator = torch.Generator().manual_seed(seed)
        moved, turned = _flip(one, mask, settings, generator)
        moved, turned = _turn(moved, turned, settings, generator)
        moved = _tumour(moved, turned, settings, generator)
        images.append(_intensity(moved, settings, generator))
        targets.append(turned)
    return torch.stack(images), torch.stack(targets)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Between -1 and 1."""
    return torch.rand(shape, generator=generator) * 2 - 1


def _flip(image: Tensor, masks: Tensor, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    draws = torch.rand(3, generator=generator).tolist()
    axes = [axis + 1 for axis, (draw, chance) in enumerate(zip(draws, settings.flip, strict=True)) if draw < chance]
    return (image.flip(axes), masks.flip(axes)) if axes else (image, masks)


def rotation_matrix(angles: Tensor) -> Tensor:
    """Rotation about x, then y, then z, by angles in radians; shape (3, 3), acting on (x, y, z)."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles.tolist()):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    return matrix


def _turn(image: Tensor, masks: Tensor, settings: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rotate and scale about the centre, in voxels, so that a patch with unequal sides is not sheared."""
    if not any(settings.rotation) and not settings.scale:
        return image, masks
    angles = _uniform(generator, 3) * torch.tensor(settings.rotation) * math.pi / 180
    size = 1 + float(_uniform(generator, 1)) * settings.scale
    half = torch.tensor(image.shape[1:]) / 2
    matrix = rotation_matrix(angles) / size * half[None] / half[:, None]
    # grid_sample names the last axis x, so the matrix acts on (z, y, x).
    theta = torch.cat([matrix.flip(0, 1), torch.zeros(3, 1)], dim=1).to(image)[None]
    grid = F.affine_grid(theta, [1, 1, *image.shape[1:]], align_corners=False)
    moved = F.grid_sample(torch.cat([image, masks])[None], grid, mode="bilinear", align_corners=False)[0]
    return moved[: len(image)], (moved[len(image) :] >= 0.5).to(masks.dtype)


def _tumour(image: Tensor, masks: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Make each region of the tumour paler or plainer against the rest of the brain, in each channel by itself.

    Few patients show few contrasts between tumour and brain; this shows more.
    """
    if not settings.tumour:
        return image
    factors = torch.exp(_uniform(generator, len(masks), len(image)) * settings.tumour).to(image)
    brain = image != 0
    healthy = brain * (1 - masks[0])
    mean = (image * healthy).sum((1, 2, 3)) / healthy.sum((1, 2, 3)).clamp(min=1)
    # Nested masks, so what is one region's own is its mask less the next one's; outside all of them the factor is 1.
    own = masks - torch.cat([masks[1:], torch.zeros_like(masks[:1])])
    factor = 1 + torch.einsum("rc,rxyz->cxyz", factors - 1, own)
    mean = mean[:, None, None, None]
    return ((image - mean) * factor + mean) * brain


def _intensity(image: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each channel's intensities inside the brain; background stays 0."""
    channels = len(image)
    if float(torch.rand(1, generator=generator)) >= settings.intensity:
        return image
    per_channel = (channels, 1, 1, 1)
    brain = image != 0
    changed = image
    blurred = torch.rand(channels, generator=generator) < settings.blur
    factors = torch.randint(1, 4, (channels, 3), generator=generator).tolist()
    for channel in blurred.nonzero().flatten().tolist():
        # Thick slices lie along any axis, so each is coarsened by a factor of its own.
        size = [max(1, n // factor) for n, factor in zip(image.shape[1:], factors[channel], strict=True)]
        coarse = F.interpolate(image[None, None, channel], size=size, mode="trilinear")
        changed = changed.clone()
        changed[channel] = F.interpolate(coarse, size=image.shape[1:], mode="trilinear")[0, 0]
    if settings.gamma:
        exponent = torch.exp(_uniform(generator, *per_channel) * settings.gamma).to(image)
        low, high = changed.amin((1, 2, 3), keepdim=True), changed.amax((1, 2, 3), keepdim=True)
        spread = (high - low).clamp(min=1e-6)
        changed = ((changed - low) / spread).pow(exponent) * spread + low
    if settings.bias_field:
        field = (_uniform(generator, 1, channels, 3, 3, 3) * settings.bias_field).to(image)
        # Intensities are z-scores: the field multiplies what lies above the darkest tissue, not the sign.
        changed = (changed + 3) * F.interpolate(field, size=image.shape[1:], mode="trilinear")[0].exp() - 3
    contrast = 1 + _uniform(generator, *per_channel).to(image) * settings.contrast
    changed = changed * contrast + _uniform(generator, *per_channel).to(image) * settings.shift
    if settings.noise:
        noise = torch.randn(image.shape, generator=generator).to(image)
        changed = changed + noise * float(torch.rand(1, generator=generator)) * settings.noise
    changed = changed * brain
    if float(torch.rand(1, generator=generator)) < settings.drop:
        changed = changed.clone()
        changed[int(torch.randint(channels, (1,), generator=generator))] = 0
    return changed
