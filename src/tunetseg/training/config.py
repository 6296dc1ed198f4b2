"""Everything that one training run is asked to do, as one immutable object. Light: torch is not imported here."""

import operator
import os
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tunetseg.errors import InputError
from tunetseg.training.recipes import Recipe, find_recipe, recipe_from_dict, recipe_to_dict

__all__ = ["TrainConfig"]

Option = bool | int | float | str | tuple[int, ...]


class TrainConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One training run. It can be pickled, and written to JSON and read back.

    Args:
        cohort: Folder of cases with reference segmentations, or a pack.
        out: Run folder.
        recipe: Name of a packaged recipe, a recipe file, or the recipe itself.
        network: Name of the network, see ``tunetseg.networks.network_names``.
        network_options: Options of the network. They go before those that the recipe suggests.
        fold: Fold whose cases are kept for validation, or ``"all"`` to train on every case. Losses and scores that are
            then logged as validation are of cases that were trained on.
        split: File of the folds, as nnU-Net's ``splits_final.json``; None: they follow the seed of the recipe.
        seed: Seed of weights, order and augmentation (``--run-seed`` on the command line); None: the recipe's. The
            folds follow the recipe's alone.
        pretrained: Packaged model of one file, such as ``fast`` or ``robust/fold-0``, model file or run folder whose
            weights the first stage starts from.
        dataset: Name or TOML file of the dataset's description; None: the files tell.
        labels: Dataset whose label values the references have; None: each dataset's own.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        devices: Processes that share each batch, one per device; every ``batch_size`` must be a multiple of it.
        workers: Processes that read and cut patches, per device; 0 reads them in the training process.
        data_on_device: Hold the prepared cases in the memory of the device and cut patches there, so that no step waits
            for a copy. Not with ``workers``.
        channels_last: Store activations with the channels last; always so with ``compile``.
        cuda_graphs: Capture forward and backward pass once per stage as CUDA graphs and replay them, so that no step
            waits for the launch of kernels. Needs one CUDA device; not with ``compile``.
        compile: Use ``torch.compile``, which needs a C++ compiler on a CPU and pays after a minute or two per stage.
        snapshot_minutes: Minutes between two writings of the weights as they are, in bf16, to ``snapshot.safetensors``
            in the run folder; None: none is written.
        max_minutes: Time budget of the run; stages are shortened to fit it. None: no limit.
        resume: Continue the run of the folder from its last checkpoint, or start it if there is none.
        skip_broken: Report a broken case and continue without it.
        cache: Folder of prepared cases; None: ``cache`` next to the run folder.

    Raises:
        InputError: A value is out of range.

    Examples:
        >>> config = TrainConfig(cohort="brats", out="runs/fold0", recipe="paper", network="tunet")
        >>> TrainConfig.from_json(config.to_json()) == config
        True
    """

    cohort: str
    out: str
    recipe: str | Recipe = "quick"
    network: str = "tunet-seb"
    network_options: dict[str, Option] = {}
    fold: int | Literal["all"] = 0
    split: str | None = None
    seed: int | None = None
    pretrained: str | None = None
    dataset: str | None = None
    labels: str | None = None
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    data_on_device: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False
    compile: bool = False
    snapshot_minutes: float | None = None
    max_minutes: float | None = None
    resume: bool = False
    skip_broken: bool = False
    cache: str | None = None

    def __post_init__(self) -> None:
        """Bring paths and numpy's integers to plain types, and check ranges."""
        for name in ("cohort", "out", "pretrained", "dataset", "cache", "split"):
            self._set(name, _text(getattr(self, name)))
        if not isinstance(self.recipe, Recipe):
            self._set("recipe", _text(self.recipe))
        for name in ("fold", "seed", "devices", "workers"):
            value = getattr(self, name)
            if value is not None and value != "all":
                self._set(name, _whole_number(name, value))
        for name, least in (("fold", 0), ("seed", 0), ("devices", 1), ("workers", 0)):
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise InputError(f"{name} is {value}; must be {least} or more")
        for name in ("max_minutes", "snapshot_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value:g}; must be above 0")
        if self.data_on_device and self.workers:
            raise InputError(f"workers is {self.workers}; must be 0 where the data are held on the device")
        if self.cuda_graphs and (self.compile or self.devices > 1):
            raise InputError("cuda_graphs: needs one device, and cannot be used with compile; leave one of them out")

    def _set(self, name: str, value: Any) -> None:
        msgspec.structs.force_setattr(self, name, value)

    def find_recipe(self) -> Recipe:
        """Return the recipe, checked, and read from the package or its file where it is given by name.

        Raises:
            InputError: There is no such recipe, or it is invalid.
        """
        if isinstance(self.recipe, Recipe):
            return recipe_from_dict(recipe_to_dict(self.recipe))
        return find_recipe(self.recipe)

    def to_json(self) -> str:
        """Return the configuration as JSON text."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "TrainConfig":
        """Return the configuration that JSON text holds.

        Raises:
            InputError: The text is not JSON, or a field is unknown, missing or invalid.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise InputError(f"training configuration: {error}") from None


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _whole_number(name: str, value: Any) -> int:
    """Return an integer of any integer type, numpy's too, as an ``int``."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; must be a whole number") from None
