"""What a run will do, worked out before anything is written: its cases, its network, its record."""

import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from tunetseg.datasets import Case, DatasetDescription, find_cases, find_description, find_scheme, split_folds
from tunetseg.datasets.common import common_description
from tunetseg.datasets.folds import read_split
from tunetseg.errors import InputError
from tunetseg.limits import check_memory
from tunetseg.models.device import choose_device
from tunetseg.models.store import file_hash, load_network, read_spec
from tunetseg.models.zoo import find_models
from tunetseg.networks import NetworkSpec, SegmentationNetwork, build_network, network_options
from tunetseg.preparation import Preprocessing
from tunetseg.preparation.cache import FORMAT, Cache
from tunetseg.preparation.pack import Pack, is_pack
from tunetseg.training.config import TrainConfig
from tunetseg.training.recipes import Recipe, recipe_to_dict

__all__ = ["Plan", "plan", "start_network"]

_LOG = logging.getLogger(__name__)

_COMPILERS = ("g++", "clang++", "c++", "cl")


@dataclass(frozen=True)
class Plan:
    """One run, worked out. It can be pickled.

    Args:
        config: What was asked for.
        recipe: Its recipe.
        dataset: Description of the cohort, which the model will carry.
        network: Its network, with all options.
        training: Cases to train on.
        validation: Cases to validate on.
        pretrained: Model whose weights the first stage starts from, if any.
        pretrained_hash: Its SHA-256.
        pretrained_facts: What it says of its training.
    """

    config: TrainConfig
    recipe: Recipe
    dataset: DatasetDescription
    network: NetworkSpec
    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    pretrained: Path | None = None
    pretrained_hash: str | None = None
    pretrained_facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The run folder."""
        return Path(self.config.out)

    @property
    def cache(self) -> Path:
        """The folder of prepared cases."""
        return Path(self.config.cache) if self.config.cache else self.out.parent / "cache"

    @property
    def seed(self) -> int:
        """Seed of the initial weights."""
        return self.recipe.seed if self.config.seed is None else self.config.seed

    @property
    def entropy(self) -> tuple[int, ...]:
        """Seed of order and augmentation: a run from pretrained weights must not repeat what they have seen."""
        return (self.seed,) if self.pretrained_hash is None else (self.seed, int(self.pretrained_hash[:16], 16))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Names of the cases that this run does not train on."""
        trained = {case.id for case in self.training}
        return tuple(case.id for case in self.validation if case.id not in trained)

    @property
    def never_seen(self) -> tuple[str, ...]:
        """Names of the cases that neither this run nor, as far as it says, the model it starts from trained on."""
        if self.pretrained is None:
            return self.unseen
        said = self.pretrained_facts.get("unseen")
        unseen_before = set(said) if isinstance(said, list) else set()
        return tuple(name for name in self.unseen if name in unseen_before)

    def dropout(self, number: int) -> float:
        """Return how often channels were dropped at most, up to a stage and by the model that it starts from."""
        said = self.pretrained_facts.get("channel_dropout")
        stages = self.recipe.stages[: number + 1]
        return max(
            said if isinstance(said, int | float) else 0.0,
            *(stage.augmentation.channel_dropout.probability for stage in stages),
        )

    def preprocessing(self, stage: int) -> Preprocessing:
        """Return how cases are prepared for a stage."""
        return Preprocessing(spacing=self.recipe.stages[stage].spacing, denoise=self.recipe.denoise)

    def store(self, stage: int) -> Cache | Pack:
        """Return where the prepared cases of a stage come from.

        Raises:
            InputError: The pack was prepared in another way than the stage needs.
        """
        settings = self.preprocessing(stage)
        if not is_pack(self.config.cohort):
            return Cache(self.cache, settings, self.dataset, self.config.labels)
        pack = Pack(self.config.cohort, spacing=settings.spacing, folder=self.cache)
        if pack.settings.denoise != settings.denoise:
            raise InputError(f"{self.config.cohort}: was packed with denoise = {str(pack.settings.denoise).lower()}")
        return pack

    @property
    def record(self) -> dict[str, Any]:
        """What a resumed run must have in common with the run that it continues, as plain data."""
        return {
            "recipe": recipe_to_dict(self.recipe),
            "network": {"name": self.network.name, "options": _plain(self.network.options)},
            "dataset": self.dataset.name,
            "fold": self.config.fold,
            "seed": self.seed,
            "labels": self.config.labels,
            "pretrained": self.pretrained_hash,
            "training": [case.id for case in self.training],
            "validation": [case.id for case in self.validation],
            "cache_format": FORMAT,
        }


def plan(config: TrainConfig) -> Plan:
    """Work out a run: find the cases, split the folds, check that network, recipe and dataset fit each other.

    Only names of files and headers are read, and nothing is written.

    Raises:
        InputError: Something does not exist or does not fit.
    """
    recipe = config.find_recipe()
    _check(config, recipe)
    description, cases = _cohort(config)
    network = _network(config, recipe, description)
    recipe = _fitted(recipe, network)
    if config.labels is not None and find_scheme(config.labels).region_names != description.region_names:
        regions = ", ".join(description.region_names)
        raise InputError(f"labels {config.labels!r}: have other regions than {description.name} ({regions})")
    training, validation = _split(cases, recipe, config)
    start = None
    if config.pretrained is not None:
        (start, *more) = find_models((config.pretrained,))
        if more:
            raise InputError(
                f"{config.pretrained}: is the mean of {len(more) + 1} models; "
                "name one, such as 'robust/fold-0', or its file"
            )
    result = Plan(
        config,
        recipe,
        description,
        network,
        tuple(training),
        tuple(validation),
        start,
        None if start is None else file_hash(start),
        {} if start is None else read_spec(start).training,
    )
    if start is not None:
        _check_start(start, result)
    for number in range(len(recipe.stages)):
        result.store(number)
    return result


def _cohort(config: TrainConfig) -> tuple[DatasetDescription, list[Case]]:
    """Return the cases, and the dataset that is named, that a pack names, or that most of the cases belong to."""
    if is_pack(config.cohort):
        if config.dataset is not None or config.labels is not None:
            raise InputError(f"{config.cohort}: is a pack, whose dataset and label values are fixed; leave them out")
        pack = Pack(config.cohort)
        return pack.description, pack.cases
    named = None if config.dataset is None else find_description(config.dataset)
    cases = find_cases(config.cohort, named)
    if named is not None:
        return named, cases
    try:
        return common_description(cases), cases
    except InputError as error:
        raise InputError(f"{config.cohort}: {error}") from None


def _network(config: TrainConfig, recipe: Recipe, description: DatasetDescription) -> NetworkSpec:
    known = network_options(config.network)
    suggested = {name: value for name, value in recipe.suggested_options.items() if name in known}
    unused = [name for name in recipe.suggested_options if name not in known]
    if unused:
        _LOG.info("network %s has no option %s, which recipe %s suggests", config.network, unused[0], recipe.name)
    options = suggested | dict(config.network_options)
    return NetworkSpec(config.network, len(description.channels), description.region_names, options)


def _check(config: TrainConfig, recipe: Recipe) -> None:
    device = choose_device(config.device)
    if config.compile and device.type == "cpu" and not any(map(shutil.which, _COMPILERS)):
        raise InputError(f"compiling needs a C++ compiler, one of {', '.join(_COMPILERS)}; install one")
    if config.cuda_graphs and device.type != "cuda":
        raise InputError(f"cuda_graphs needs a CUDA device, not {device}; leave it out")
    for number, stage in enumerate(recipe.stages):
        if stage.batch_size % config.devices:
            raise InputError(
                f"recipe {recipe.name}: stages[{number}].batch_size is {stage.batch_size}; {config.devices} devices "
                "need a multiple of that number"
            )


def _fitted(recipe: Recipe, network: NetworkSpec) -> Recipe:
    """Return the recipe with patch sizes that are multiples of the network's stride, rounded up."""
    with torch.device("meta"):
        built = build_network(network)
    stride, parameters = built.stride, sum(parameter.numel() for parameter in built.parameters())
    # The weights, their gradients, and the two moments of Adam.
    check_memory(f"training {network.name}", 16 * parameters)
    stages = []
    for number, stage in enumerate(recipe.stages):
        x, y, z = (math.ceil(side / stride) * stride for side in stage.patch_size)
        if (x, y, z) != stage.patch_size:
            _LOG.info(
                "stage %d: patch size %s instead of %s, since network %s needs multiples of %d",
                number,
                (x, y, z),
                stage.patch_size,
                network.name,
                stride,
            )
        if x * y * z <= stride**3:
            # Instance normalisation needs two values.
            raise InputError(
                f"recipe {recipe.name}: stages[{number}].patch_size is {list(stage.patch_size)}, a single voxel at the "
                f"lowest level of {network.name}"
            )
        # The images and masks of one batch, twice: the next is cut while one is used.
        check_memory(
            f"recipe {recipe.name}: a batch of stages[{number}]",
            2 * 4 * stage.batch_size * x * y * z * (network.in_channels + len(network.regions)),
        )
        stages.append(msgspec.structs.replace(stage, patch_size=(x, y, z)))
    return msgspec.structs.replace(recipe, stages=tuple(stages))


def _split(cases: list[Case], recipe: Recipe, config: TrainConfig) -> tuple[list[Case], list[Case]]:
    """Return training and validation cases; for all folds at once, those of fold 0 are validated on as well."""
    fold = config.fold
    if config.split is not None:
        if fold == "all":
            raise InputError(f"{config.split}: a split has no fold 'all'; name one, or leave out the split")
        return read_split(config.split, int(fold), cases)
    if fold == "all":
        patients = len({case.patient for case in cases})
        _LOG.info("training on all cases, so the validation scores are of cases that are trained on")
        return cases, split_folds(cases, min(recipe.folds, patients), recipe.seed)[0] if patients > 1 else cases
    folds = split_folds(cases, recipe.folds, recipe.seed)
    if not 0 <= int(fold) < len(folds):
        raise InputError(f"fold is {fold}; choose from 0 to {len(folds) - 1}, or all")
    return [case for n, part in enumerate(folds) if n != fold for case in part], folds[int(fold)]


def _check_start(start: Path, run: Plan) -> None:
    """Check that a model can start the run, and warn where it has seen what the run validates on."""
    spec = read_spec(start)
    if spec.network != run.network:
        raise InputError(
            f"{start}: is {_described(spec.network)}, which cannot start {_described(run.network)}; "
            "choose the model's network and options"
        )
    if spec.dataset.channel_names != run.dataset.channel_names:
        raise InputError(
            f"{start}: sees {', '.join(spec.dataset.channel_names)}, not {', '.join(run.dataset.channel_names)}"
        )
    seen = {*run.unseen} - {*run.never_seen}
    if seen:
        _LOG.warning(
            "%s may have been trained on %d of the %d validation cases, so scores on them say little about new cases",
            start,
            len(seen),
            len(run.unseen),
        )


def start_network(run: Plan) -> SegmentationNetwork:
    """Return the network that the first stage trains: with new weights from the seed, or pretrained."""
    if run.pretrained is not None:
        return load_network(run.pretrained)[0].train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = build_network(run.network)
        network.reset_parameters(run.recipe.prior_logit)
    return network


def _described(network: NetworkSpec) -> str:
    options = ", ".join(f"{name} {value}" for name, value in network.options.items())
    return f"{network.name} ({options}) for {network.in_channels} channels and {', '.join(network.regions)}"


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
