"""Random changes to a batch of training patches, on whatever device it is.

Each sample's changes follow from its own seed, so they are the same in any batch, and each kind of change draws from
its own stream, so switching one off leaves the others as they were. Everything small is drawn on the CPU and sent;
only noise is drawn on the device, from the same seed. Nothing here waits for the device.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tunetseg.training import augmentation as settings
from tunetseg.training.augmentation import Augmentation

__all__ = ["augment", "rotation_matrix"]


def augment(
    image: Tensor, masks: Tensor, seeds: Sequence[int], augmentation: Augmentation, channels: Sequence[str] = ()
) -> tuple[Tensor, Tensor]:
    """Change each sample of a batch at random.

    Args:
        image: float32, shape (batch, channel, x, y, z); background is exactly 0 and stays 0.
        masks: Region masks, float32, 0 or 1, shape (batch, region, x, y, z), nested.
        seeds: One seed per sample; the same seed gives the same change.
        augmentation: What is changed, how often and how much.
        channels: Names of the channels, for settings that name them.

    Returns:
        Image and masks of the same shapes. Masks are interpolated as masks and cut at one half, so they stay nested.

    Examples:
        >>> image, masks = torch.ones(1, 4, 8, 8, 8), torch.zeros(1, 3, 8, 8, 8)
        >>> changed, _ = augment(image, masks, [1], Augmentation(noise=settings.Noise(probability=1.0, std=0.1)))
        >>> bool((changed != image).any())
        True
    """
    streams = [_Draws(seeds, change) for change in range(10)]
    image, masks = _flip(image, masks, augmentation.flip, streams[0])
    image, masks = _warp(image, masks, augmentation, streams[1], streams[2])
    image = _lesion_contrast(image, masks, augmentation.lesion_contrast, streams[3])
    foreground = image != 0
    image = _low_resolution(image, augmentation.low_resolution, streams[4])
    image = _gamma(image, augmentation.gamma, streams[5])
    image = _bias_field(image, augmentation.bias_field, streams[6])
    image = _contrast_and_brightness(image, augmentation.contrast, augmentation.brightness, streams[7])
    image = _noise(image, augmentation.noise, streams[8])
    image = image * foreground
    return _channel_dropout(image, augmentation.channel_dropout, channels, streams[9]), masks


class _Draws:
    """Random numbers for each sample of a batch, on the CPU, each sample's from its own seed.

    Args:
        seeds: One per sample.
        change: Number of the kind of change, which has its own stream.
    """

    def __init__(self, seeds: Sequence[int], change: int) -> None:
        self.seeds = [
            int(np.random.SeedSequence(entropy=seed, spawn_key=(change,)).generate_state(1, np.uint64)[0] >> 1)
            for seed in seeds
        ]
        self.generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers between 0 and 1, shape (batch, *shape)."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def signed(self, *shape: int) -> Tensor:
        """Return numbers between -1 and 1, shape (batch, *shape)."""
        return self.uniform(*shape) * 2 - 1

    def happens(self, probability: float) -> Tensor:
        """Return for each sample whether a change is made, bool, shape (batch,)."""
        return self.uniform() < probability


def _send(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a small tensor of the CPU with the type and on the device of another, without waiting for that device."""
    return tensor.to(like.dtype).to(like.device, non_blocking=True)


def _for_some(batch: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change the chosen samples of a batch.

    Args:
        batch: Shape (batch, ...).
        chosen: On the CPU, bool, shape (batch,).
        change: Takes the chosen samples and their positions on the CPU, and returns the samples changed.
    """
    rows = chosen.nonzero().flatten()
    if not len(rows):
        return batch
    if len(rows) == len(batch):
        return change(batch, rows)
    there = rows.to(batch.device, non_blocking=True)
    return batch.index_copy(0, there, change(batch.index_select(0, there), rows))


def _flip(image: Tensor, masks: Tensor, flip: settings.Flip, draws: _Draws) -> tuple[Tensor, Tensor]:
    chosen = draws.uniform(3) < torch.tensor(flip.probability)
    for axis in range(3):
        image = _for_some(image, chosen[:, axis], lambda part, _, axis=axis: part.flip(axis + 2))  # type: ignore[misc]
        masks = _for_some(masks, chosen[:, axis], lambda part, _, axis=axis: part.flip(axis + 2))  # type: ignore[misc]
    return image, masks


def rotation_matrix(angles: Tensor) -> Tensor:
    """Return rotations about x, then y, then z.

    Args:
        angles: Radians, shape (batch, 3).

    Returns:
        Matrices that act on (x, y, z), shape (batch, 3, 3).
    """
    matrix = torch.eye(3).expand(len(angles), 3, 3)
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        cosine, sine = torch.cos(angles[:, axis]), torch.sin(angles[:, axis])
        step = torch.eye(3).repeat(len(angles), 1, 1)
        step[:, first, first] = step[:, second, second] = cosine
        step[:, first, second], step[:, second, first] = -sine, sine
        matrix = step @ matrix
    return matrix


def _warp(
    image: Tensor, masks: Tensor, augmentation: Augmentation, affine_draws: _Draws, elastic_draws: _Draws
) -> tuple[Tensor, Tensor]:
    """Rotate, scale and deform in one interpolation, in voxels, so that a patch with unequal sides is not sheared."""
    affine, elastic = augmentation.affine, augmentation.elastic
    sides = image.shape[2:]
    turned = affine_draws.happens(affine.probability) & bool(any(affine.rotation) or affine.scale)
    bent = elastic_draws.happens(elastic.probability) & (elastic.displacement > 0)
    angles = affine_draws.signed(3) * torch.tensor(affine.rotation) * math.pi / 180 * turned[:, None]
    size = 1 + affine_draws.signed() * affine.scale * turned
    half = torch.tensor(sides) / 2
    matrices = rotation_matrix(angles) / size[:, None, None] * half / half[:, None]
    lattice = elastic_draws.signed(3, *[elastic.nodes] * 3) * elastic.displacement * bent[:, None, None, None, None]

    def moved(both: Tensor, rows: Tensor) -> Tensor:
        # grid_sample calls the last axis x, so matrices and displacements act on (z, y, x).
        theta = _send(torch.cat([matrices[rows].flip(1, 2), torch.zeros(len(rows), 3, 1)], dim=2), both)
        grid = F.affine_grid(theta, [len(rows), 1, *sides], align_corners=False)
        if bool(bent[rows].any()):
            field = _spline_field(_send(lattice[rows], both), sides) / _send(half, both)[:, None, None, None]
            grid = grid + field.flip(1).movedim(1, -1)
        return F.grid_sample(both, grid, mode="bilinear", align_corners=False)

    both = _for_some(torch.cat([image, masks], dim=1), turned | bent, moved)
    image, masks = both.split([image.shape[1], masks.shape[1]], dim=1)
    return image, (masks >= 0.5).to(image.dtype)


def _spline_field(lattice: Tensor, sides: Sequence[int]) -> Tensor:
    """Return the cubic B-spline field of a lattice of values, shape (batch, 3, x, y, z) from (batch, 3, n, n, n)."""
    nodes = lattice.shape[-1]
    for axis, side in enumerate(sides):
        weights = _send(_spline_weights(side, nodes), lattice)
        lattice = torch.movedim(torch.tensordot(lattice, weights, dims=([axis + 2], [1])), -1, axis + 2)
    return lattice


@lru_cache(maxsize=64)
def _spline_weights(side: int, nodes: int) -> Tensor:
    """Return each voxel's weights of the lattice points along one axis, shape (side, nodes), rows summing to 1."""
    place = torch.linspace(0, nodes - 3, side, dtype=torch.float64)
    first = place.floor().clamp(max=nodes - 4)
    t = place - first
    four = torch.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], dim=1
    ) / 6  # fmt: skip
    weights = torch.zeros(side, nodes, dtype=torch.float64)
    return weights.scatter(1, first.long()[:, None] + torch.arange(4), four).float()


def _lesion_contrast(image: Tensor, masks: Tensor, contrast: settings.LesionContrast, draws: _Draws) -> Tensor:
    """Change how far each region stands out from the tissue outside all regions; few cases show few contrasts."""
    chosen = draws.happens(contrast.probability) & (contrast.log_range > 0)
    factors = torch.exp(draws.signed(masks.shape[1], image.shape[1]) * contrast.log_range)

    def changed(part: Tensor, rows: Tensor) -> Tensor:
        inside = masks if len(rows) == len(masks) else masks.index_select(0, rows.to(masks.device, non_blocking=True))
        foreground = part != 0
        healthy = foreground * (1 - inside[:, :1])
        mean = (part * healthy).sum((2, 3, 4), keepdim=True) / healthy.sum((2, 3, 4), keepdim=True).clamp(min=1)
        # Nested masks: what belongs to one region alone is its mask less the next one's.
        alone = inside - torch.cat([inside[:, 1:], torch.zeros_like(inside[:, :1])], dim=1)
        factor = 1 + torch.einsum("brc,brxyz->bcxyz", _send(factors[rows] - 1, part), alone)
        return ((part - mean) * factor + mean) * foreground

    return _for_some(image, chosen, changed)


def _low_resolution(image: Tensor, coarse: settings.LowResolution, draws: _Draws) -> Tensor:
    chosen = draws.uniform(image.shape[1]) < coarse.probability
    # Slices can be thick along any axis, so each axis has its own factor.
    factors = 1 + (draws.uniform(image.shape[1], 3) * coarse.factor).long().clamp(max=coarse.factor - 1)
    if not bool(chosen.any()):
        return image
    image = image.clone()
    for row, channel in chosen.nonzero().tolist():
        sides = image.shape[2:]
        size = [max(1, n // factor) for n, factor in zip(sides, factors[row, channel].tolist(), strict=True)]
        small = F.interpolate(image[row : row + 1, channel : channel + 1], size=size, mode="trilinear")
        image[row, channel] = F.interpolate(small, size=sides, mode="trilinear")[0, 0]
    return image


def _gamma(image: Tensor, gamma: settings.Gamma, draws: _Draws) -> Tensor:
    chosen = draws.happens(gamma.probability) & (gamma.log_range > 0)
    exponents = torch.exp(draws.signed(image.shape[1], 1, 1, 1) * gamma.log_range)

    def changed(part: Tensor, rows: Tensor) -> Tensor:
        low, high = part.amin((2, 3, 4), keepdim=True), part.amax((2, 3, 4), keepdim=True)
        spread = (high - low).clamp(min=1e-6)
        return ((part - low) / spread).pow(_send(exponents[rows], part)) * spread + low

    return _for_some(image, chosen, changed)


def _bias_field(image: Tensor, bias: settings.BiasField, draws: _Draws) -> Tensor:
    chosen = draws.happens(bias.probability) & (bias.log_range > 0)
    fields = draws.signed(image.shape[1], 3, 3, 3) * bias.log_range

    def changed(part: Tensor, rows: Tensor) -> Tensor:
        field = F.interpolate(_send(fields[rows], part), size=part.shape[2:], mode="trilinear").exp()
        # Intensities are z-scores: the field multiplies what lies above the darkest tissue.
        return (part + 3) * field - 3

    return _for_some(image, chosen, changed)


def _contrast_and_brightness(
    image: Tensor, contrast: settings.Contrast, brightness: settings.Brightness, draws: _Draws
) -> Tensor:
    scaled, shifted = draws.happens(contrast.probability), draws.happens(brightness.probability)
    per_channel = (image.shape[1], 1, 1, 1)
    scale = 1 + draws.signed(*per_channel) * contrast.scale * scaled[:, None, None, None, None]
    shift = draws.signed(*per_channel) * brightness.shift * shifted[:, None, None, None, None]
    return _for_some(
        image, scaled | shifted, lambda part, rows: part * _send(scale[rows], part) + _send(shift[rows], part)
    )


def _noise(image: Tensor, noise: settings.Noise, draws: _Draws) -> Tensor:
    chosen = draws.happens(noise.probability) & (noise.std > 0)
    std = draws.uniform(1, 1, 1, 1) * noise.std

    def changed(part: Tensor, rows: Tensor) -> Tensor:
        grains = torch.empty_like(part)
        for grain, row in zip(grains, rows.tolist(), strict=True):
            grain.normal_(generator=torch.Generator(part.device).manual_seed(draws.seeds[row]))
        return part + grains * _send(std[rows], part)

    return _for_some(image, chosen, changed)


def _channel_dropout(image: Tensor, dropout: settings.ChannelDropout, channels: Sequence[str], draws: _Draws) -> Tensor:
    """Set a subset of the channels to 0, never none and never all."""
    count = image.shape[1]
    chosen = draws.happens(dropout.probability)
    if count < 2 or not bool(chosen.any()):
        return image
    named = dropout.keep_by_name
    keep = torch.tensor([named.get(channels[n], dropout.keep) if channels else dropout.keep for n in range(count)])
    kept = draws.uniform(count) < keep
    # Where the draw keeps all or none, one channel is dropped or kept instead, by the same odds.
    ranks = draws.uniform(count)
    dropped = (ranks ** (1 / (1 - keep).clamp(min=1e-6))).argmax(dim=1, keepdim=True)
    saved = (ranks ** (1 / keep.clamp(min=1e-6))).argmax(dim=1, keepdim=True)
    every, none = kept.all(dim=1, keepdim=True), ~kept.any(dim=1, keepdim=True)
    kept = torch.where(every, torch.ones_like(kept).scatter(1, dropped, False), kept)
    kept = torch.where(none, torch.zeros_like(kept).scatter(1, saved, True), kept)
    kept |= ~chosen[:, None]
    return image * _send(kept, image)[:, :, None, None, None]
