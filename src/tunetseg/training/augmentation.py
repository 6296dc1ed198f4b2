"""Settings of the random changes to training patches; ``tunetseg.training.transforms`` makes them.

A probability is per patch and means what it says: the chance that the change is made, whatever the others do. Sizes
are the largest ones: each change draws evenly from 0 (or from minus the size) to the size.
"""

from typing import Annotated

from msgspec import Meta, Struct

__all__ = [
    "Affine",
    "Augmentation",
    "BiasField",
    "Brightness",
    "CarveMix",
    "ChannelDropout",
    "Contrast",
    "Elastic",
    "Flip",
    "Gamma",
    "LesionContrast",
    "LowResolution",
    "Noise",
    "Probability",
]

Probability = Annotated[float, Meta(ge=0, le=1)]
Angle = Annotated[float, Meta(ge=0, le=180)]
Size = Annotated[float, Meta(ge=0, le=10)]


class Flip(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mirror flips.

    Args:
        probability: Of each axis, x (left to right), y, z.
    """

    probability: tuple[Probability, Probability, Probability]


class Affine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rotation and scaling about the centre of the patch.

    Args:
        probability: Probability.
        rotation: Largest angle in degrees about x, y, z.
        scale: Largest relative change of size; 0.1 is 90 to 110 %.
    """

    probability: Probability
    rotation: tuple[Angle, Angle, Angle]
    scale: Annotated[float, Meta(ge=0, le=0.9)]


class Elastic(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Smooth deformation by cubic B-splines over a coarse lattice.

    Args:
        probability: Probability.
        displacement: Largest displacement of a lattice point along each axis, in voxels. Below 0.4 times the distance
            between lattice points nothing folds over.
        nodes: Lattice points per axis.
    """

    probability: Probability
    displacement: Annotated[float, Meta(ge=0, le=100)]
    nodes: Annotated[int, Meta(ge=4, le=64)] = 6


class CarveMix(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another case's lesion laid over the patch (Zhang et al., CarveMix, MICCAI 2021).

    Args:
        probability: Probability.
        margin: Largest number of voxels around the lesion that come with it.
    """

    probability: Probability
    margin: Annotated[int, Meta(ge=0, le=50)] = 3


class LesionContrast(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A changed difference between each region and the tissue outside all regions, per region and channel.

    Args:
        probability: Probability.
        log_range: Largest logarithm of the factor.
    """

    probability: Probability
    log_range: Size


class LowResolution(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Channels shown at a coarser resolution, as thick slices do.

    Args:
        probability: Of each channel by itself.
        factor: Largest factor, drawn for each axis among the whole numbers from 1.
    """

    probability: Probability
    factor: Annotated[int, Meta(ge=1, le=20)] = 3


class Gamma(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A gamma curve per channel.

    Args:
        probability: Probability.
        log_range: Largest logarithm of the exponent.
    """

    probability: Probability
    log_range: Size


class BiasField(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A smooth multiplicative field per channel.

    Args:
        probability: Probability.
        log_range: Largest logarithm of the field.
    """

    probability: Probability
    log_range: Size


class Brightness(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A constant added per channel.

    Args:
        probability: Probability.
        shift: Largest constant, in the units of the normalised image.
    """

    probability: Probability
    shift: Size


class Contrast(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A factor per channel.

    Args:
        probability: Probability.
        scale: Largest relative change; 0.3 is 70 to 130 %.
    """

    probability: Probability
    scale: Probability


class Noise(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Gaussian noise.

    Args:
        probability: Probability.
        std: Largest standard deviation, in the units of the normalised image.
    """

    probability: Probability
    std: Size


class ChannelDropout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Channels set to 0: any subset of them but none and all. A dataset of one channel is left as it is.

    Args:
        probability: Probability.
        keep: Probability that a channel is kept.
        keep_by_name: The same for single channels by name.
    """

    probability: Probability
    keep: Probability = 0.5
    keep_by_name: dict[str, Probability] = {}


class Augmentation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All random changes of a stage, in the order in which they are made.

    Args:
        carvemix: Lesions of other cases.
        flip: Mirror flips.
        affine: Rotation and scaling.
        elastic: Smooth deformation.
        lesion_contrast: Contrast of the regions.
        low_resolution: Coarser channels.
        gamma: Gamma curve.
        bias_field: Smooth multiplicative field.
        contrast: Factor per channel.
        brightness: Constant per channel.
        noise: Gaussian noise.
        channel_dropout: Missing channels.
    """

    carvemix: CarveMix = CarveMix(probability=0.0)
    flip: Flip = Flip(probability=(0.0, 0.0, 0.0))
    affine: Affine = Affine(probability=0.0, rotation=(0.0, 0.0, 0.0), scale=0.0)
    elastic: Elastic = Elastic(probability=0.0, displacement=0.0)
    lesion_contrast: LesionContrast = LesionContrast(probability=0.0, log_range=0.0)
    low_resolution: LowResolution = LowResolution(probability=0.0)
    gamma: Gamma = Gamma(probability=0.0, log_range=0.0)
    bias_field: BiasField = BiasField(probability=0.0, log_range=0.0)
    contrast: Contrast = Contrast(probability=0.0, scale=0.0)
    brightness: Brightness = Brightness(probability=0.0, shift=0.0)
    noise: Noise = Noise(probability=0.0, std=0.0)
    channel_dropout: ChannelDropout = ChannelDropout(probability=0.0)
