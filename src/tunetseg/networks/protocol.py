"""What a network must offer to be trained, stored and run by this package."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Criterion", "LossTerms", "SegmentationNetwork", "region_terms"]

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Maps logits and masks, both (batch, region, x, y, z), to a scalar loss.

It must accept any number of regions and any resolution: networks call it for single regions and for coarse outputs.
"""


class LossTerms(NamedTuple):
    """Result of one training forward pass.

    Args:
        logits: What the loss was computed from at full resolution, shape (batch, region, x, y, z).
        terms: Weighted scalars by name; the training loss is their sum.
    """

    logits: Tensor
    terms: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Sum of the terms, a scalar."""
        return torch.stack(list(self.terms.values())).sum()


def region_terms(logits: Tensor, masks: Tensor, regions: tuple[str, ...], criterion: Criterion) -> dict[str, Tensor]:
    """Return one term per region, each computed from this region alone, named after it."""
    return {
        region: criterion(logits[:, index : index + 1], masks[:, index : index + 1])
        for index, region in enumerate(regions)
    }


class SegmentationNetwork(nn.Module, ABC):
    """Base class of all networks: an image in, one logit per region and voxel out.

    A subclass implements ``forward`` and ``output_layers``. The rest has defaults: one loss term, the L2 penalty on
    all convolution kernels. ``forward`` returns the same kind of tensor in training and in evaluation mode; what a
    network needs in training alone (deep supervision, reconstruction) goes through ``loss_terms``.

    Args:
        regions: Names of the regions, outermost first.
        stride: Sides of an input must be multiples of this many voxels.
    """

    regions: tuple[str, ...]
    stride: int

    def __init__(self, regions: tuple[str, ...], stride: int) -> None:
        super().__init__()
        if not regions:
            raise ValueError("a network needs at least one region")
        self.regions = tuple(regions)
        self.stride = stride

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return logits; their sigmoid is each region's probability.

        Args:
            image: Normalised image, shape (batch, channel, x, y, z).

        Returns:
            Shape (batch, region, x, y, z).

        Raises:
            ValueError: A side is not a multiple of ``stride``.
        """

    @property
    @abstractmethod
    def output_layers(self) -> list[nn.Conv3d]:
        """Convolutions that give logits; ``reset_parameters`` sets their biases."""

    @abstractmethod
    def reset_parameters(self, prior_logit: float = 0.0) -> None:
        """Draw new weights.

        Args:
            prior_logit: Bias of the output layers. A value below 0 says that voxels of a region are rare.
        """

    def loss_terms(self, image: Tensor, masks: Tensor, criterion: Criterion) -> LossTerms:
        """Run one forward pass for training and return its logits and loss terms.

        Args:
            image: Normalised image, shape (batch, channel, x, y, z).
            masks: Reference masks, 0 or 1, shape (batch, region, x, y, z).
            criterion: Loss of logits and masks.

        Returns:
            Logits and weighted terms. Their sum (``LossTerms.total``) is the loss.

        Raises:
            ValueError: A side is not a multiple of ``stride``.

        Examples:
            >>> from tunetseg.networks import create_network
            >>> network = create_network("tunet", base_filters=2, levels=2)
            >>> image, masks = torch.zeros(1, 4, 8, 8, 8), torch.zeros(1, 3, 8, 8, 8)
            >>> result = network.loss_terms(image, masks, torch.nn.functional.binary_cross_entropy_with_logits)
            >>> list(result.terms), tuple(result.logits.shape)
            (['segmentation'], (1, 3, 8, 8, 8))
        """
        logits = self(image)
        return LossTerms(logits, {"segmentation": criterion(logits, masks)})

    def penalised_kernels(self) -> list[nn.Parameter]:
        """Return the tensors that the L2 penalty acts on: kernels of convolutions."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv3d | nn.ConvTranspose3d)]
        return [module.get_parameter("weight") for module in convolutions]

    def parameter_groups(self, l2: float) -> list[dict[str, Any]]:
        """Return the parameter groups of an optimiser.

        The penalty is Keras' (paper, 3.1): ``l2`` times the sum of squares, whose gradient is a ``weight_decay`` of
        twice that in an optimiser that adds it to the gradient (``torch.optim.Adam``, not ``AdamW``).

        Args:
            l2: Weight of the penalty; 1e-5 in the paper.

        Returns:
            Two groups: the penalised kernels, and all other parameters without weight decay. Together they hold each
            parameter once.
        """
        kernels = self.penalised_kernels()
        chosen = {id(kernel) for kernel in kernels}
        others = [parameter for parameter in self.parameters() if id(parameter) not in chosen]
        return [{"params": kernels, "weight_decay": 2 * l2}, {"params": others, "weight_decay": 0.0}]

    def set_prior(self, prior_logit: float) -> None:
        """Set the bias of every output layer."""
        for layer in self.output_layers:
            nn.init.constant_(layer.get_parameter("bias"), prior_logit)

    def check_sides(self, image: Tensor) -> None:
        """Raise ValueError unless all sides of ``image`` are multiples of ``stride``."""
        if any(side % self.stride for side in image.shape[2:]):
            raise ValueError(f"sides {tuple(image.shape[2:])} must be multiples of {self.stride}")
