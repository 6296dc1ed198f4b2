"""The cascade: one sub-network per nested region, each seeing the outer regions' probabilities (paper, 2.1)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.networks.protocol import Criterion, LossTerms, SegmentationNetwork, region_terms
from tunetseg.networks.subnetwork import LevelDesign, SubNetwork

__all__ = ["Cascade", "Coupling"]

Coupling = Literal["joint", "detached", "separate"]


class Cascade(SegmentationNetwork):
    """Sub-networks for nested regions, joined end to end.

    The first sub-network sees the image; each later one sees, before the image, one map for each region outside its
    own, the nearest first. ``coupling`` says what these maps are:

    ============ ===================================== ============================== =========================
    coupling     in training                           in ``forward``                 gradient to outer networks
    ============ ===================================== ============================== =========================
    ``joint``    predicted probabilities               predicted probabilities        yes
    ``detached`` predicted probabilities               predicted probabilities        no
    ``separate`` reference masks of the outer regions  predicted masks (p > 0.5)      no
    ============ ===================================== ============================== =========================

    - ``joint`` is the paper's: one network trained end to end, nothing is masked.
    - ``detached`` trains the same cascade in the same loop, without the regularisation of outer networks by inner
      ones that the paper hopes for. Inner networks still learn from the changing predictions of the outer ones.
    - ``separate`` trains one network per region apart, as in Wang et al., "Automatic Brain Tumor Segmentation using
      Cascaded Anisotropic Convolutional Neural Networks" (2017): there an inner network is trained on what the
      reference says of the outer region and applied to the binary result of the outer network. Each sub-network has a
      loss term and a penalty of its own and never sees another sub-network while it trains, so with any optimiser that
      treats parameters one by one (Adam, SGD) the loop gives the weights of independent trainings on the same patches;
      clipping the norm of all gradients together would couple them. Wang et al. pass a region on as a bounding box;
      here it is a channel, so that the three couplings have the same parameters.

    Args:
        in_channels: Channels of the image: 4 for the MRI sequences of BraTS.
        regions: Names of the nested regions, outermost first; for BraTS whole, core, enhancing.
        levels: Resolutions of each sub-network; the sides of an input must be multiples of 2**(levels - 1).
        design: What stands at each level of a sub-network.
        coupling: What inner sub-networks see and teach.

    Raises:
        InputError: Unknown coupling.
        ValueError: No regions, channels or levels.

    Examples:
        >>> from tunetseg.networks.subnetwork import PlainDesign
        >>> network = Cascade(4, ("whole", "core", "enhancing"), 3, PlainDesign(2, squeeze_excite=False))
        >>> network(torch.zeros(1, 4, 8, 8, 8)).shape
        torch.Size([1, 3, 8, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        regions: tuple[str, ...],
        levels: int,
        design: LevelDesign,
        *,
        coupling: Coupling = "joint",
    ) -> None:
        if in_channels < 1 or levels < 1:
            raise ValueError(f"a cascade needs at least one channel and one level, not {in_channels} and {levels}")
        if coupling not in get_args(Coupling):
            raise InputError(f"unknown coupling {coupling!r}; choose from {', '.join(get_args(Coupling))}")
        super().__init__(regions, stride=2 ** (levels - 1))
        self.levels = levels
        self.coupling = coupling
        self.subnetworks = nn.ModuleDict(
            {name: SubNetwork(in_channels + outer, in_channels, levels, design) for outer, name in enumerate(regions)}
        )
        self.reset_parameters()

    def reset_parameters(self, prior_logit: float = 0.0) -> None:
        """Draw Glorot-uniform kernels and set biases to zero, as Keras does; heads start at ``prior_logit``."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.set_prior(prior_logit)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The 1x1x1 convolutions (heads) that give each region's logits."""
        return [network.head for network in self.subnetworks.values() if isinstance(network, SubNetwork)]

    def penalised_kernels(self) -> list[nn.Parameter]:
        """Return the kernels of all convolutions but the heads.

        As in the precursor of the paper's code; normalisation, squeeze-and-excitation and biases are left out too.
        """
        heads = {id(head.weight) for head in self.output_layers}
        return [kernel for kernel in super().penalised_kernels() if id(kernel) not in heads]

    def forward(self, image: Tensor, outer: Tensor | None = None) -> Tensor:
        """Return logits of all regions; their sigmoid is the probability (paper, 2.2).

        Args:
            image: Normalised image, shape (batch, channel, x, y, z).
            outer: Maps that inner sub-networks see in place of predictions, shape (batch, region, x, y, z). Used in
                the training of separate networks.

        Returns:
            Logits, shape (batch, region, x, y, z).

        Raises:
            ValueError: A side is not a multiple of ``stride``.
        """
        self.check_sides(image)
        pyramid = [image]
        for _ in range(self.levels - 1):
            pyramid.append(F.max_pool3d(pyramid[-1], 2))
        logits: list[Tensor] = []
        inputs = image
        for index, subnetwork in enumerate(self.subnetworks.values()):
            if index > 0:
                seen = self._couple(logits[-1]) if outer is None else outer[:, index - 1 : index]
                inputs = torch.cat([seen.to(inputs.dtype), inputs], dim=1)
            logits.append(subnetwork(inputs, pyramid[1:]))
        return torch.cat(logits, dim=1)

    def loss_terms(self, image: Tensor, masks: Tensor, criterion: Criterion) -> LossTerms:
        """Return logits and one term, ``segmentation``; with separate networks one term per region, named after it.

        The logits of separate networks are those of training: inner sub-networks have seen the reference masks of the
        outer regions. ``forward`` gives what the cascade predicts without them.
        """
        if self.coupling != "separate":
            return super().loss_terms(image, masks, criterion)
        logits = self(image, outer=masks)
        return LossTerms(logits, region_terms(logits, masks, self.regions, criterion))

    def _couple(self, logits: Tensor) -> Tensor:
        """Return the map of one region that inner sub-networks see."""
        if self.coupling == "joint":
            return torch.sigmoid(logits)
        if self.coupling == "detached":
            return torch.sigmoid(logits.detach())
        return (logits > 0).to(logits.dtype)
