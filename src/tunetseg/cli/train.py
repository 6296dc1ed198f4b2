"""``tunet train``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tyro

from tunetseg.cli.options import OptionalFloat, OptionalInt, OptionalPath, OptionalText, OutPath, optional
from tunetseg.errors import InputError
from tunetseg.training.config import TrainConfig
from tunetseg.training.recipes import Recipe, find_recipe

__all__ = ["Arguments", "network_option", "parse", "train"]


@dataclass(frozen=True)
class Arguments:
    """Train one model on a cohort; every field of the recipe can be set by a flag of its name.

    Fields of its stages too, such as --stages.0.epochs 20: --help-all lists them.

    The run folder holds the recipe, the names of the cases of both sides, logs (CSV and TensorBoard), checkpoints,
    state.json, and at the end model.safetensors. Prepared cases are kept in a cache next to it.

    Exit codes: 0 finished, 1 bug or full disk, 2 bad input, 130 stopped by Ctrl-C, 143 by SIGTERM. A stopped run
    continues with --resume.

    Args:
        cohort: Folder of cases with reference segmentations, or a pack.
        out: Run folder.
        recipe: paper, quick, narrow, refine, robust, adapt, fine15, kits, or a .toml or .json file, such as the
            recipe.json of a run.
        network: Name of the network, see 'tunet info'.
        network_options: Options of the network, such as levels=3 coupling=separate.
        base_filters: Filters of the network's first level.
        fold: Fold kept for validation, or 'all' to train on every case.
        split: File of the folds, such as nnU-Net's splits_final.json; by default they follow the recipe's seed.
        run_seed: Seed of weights, order and augmentation; by default the recipe's, which folds follow too.
        pretrained: Packaged model of one file, such as fast or robust/fold-0, model file or run folder whose weights to
            start from.
        dataset: Dataset of the cohort, or a TOML file that describes it; by default the files tell.
        labels: Dataset whose label values the references have; by default each dataset's own.
        device: auto, cpu, cuda or mps.
        devices: Processes that share each batch, one per device.
        workers: Processes that read patches, per device.
        data_on_device: Hold the prepared cases in the memory of the device and cut patches there; for a GPU.
        channels_last: Store activations with the channels last; always so with --compile.
        cuda_graphs: Replay forward and backward pass as CUDA graphs: no step waits for the launch of kernels. Not with
            --compile.
        compile: Use torch.compile: a step takes half to nine tenths of the time, after a minute or two per stage. On a
            CPU it needs a C++ compiler.
        snapshot_minutes: Minutes between two writings of the weights to snapshot.safetensors.
        max_minutes: Time budget; the stages are shortened to fit it.
        resume: Continue from the last checkpoint of the run folder.
        skip_broken: Report a broken case and continue without it.
        cache: Folder of prepared cases.
        settings: Fields of the recipe, preset by --recipe.
    """

    cohort: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COHORT")]
    out: OutPath
    recipe: str = "quick"
    network: str = "tunet-seb"
    network_options: Annotated[tuple[str, ...], optional("NAME=VALUE ...")] = ()
    base_filters: OptionalInt = None
    fold: str = "0"
    split: OptionalPath = None
    run_seed: OptionalInt = None
    pretrained: OptionalText = None
    dataset: OptionalText = None
    labels: OptionalText = None
    device: str = "auto"
    devices: int = 1
    workers: int = 0
    data_on_device: bool = False
    channels_last: bool = False
    cuda_graphs: bool = False
    compile: bool = False
    snapshot_minutes: OptionalFloat = None
    max_minutes: OptionalFloat = None
    resume: bool = False
    skip_broken: bool = False
    cache: OptionalPath = None
    settings: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)


def parse(words: Sequence[str]) -> Arguments:
    """Read the command line; the recipe that it names presets the flags of the recipe's fields."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--recipe", nargs="?", default="quick", const="quick")  # no value: the parser proper complains
    name = finder.parse_known_args(list(words))[0].recipe
    recipe = find_recipe(name)
    if {"-h", "--help"} & {*words}:
        recipe = msgspec.structs.replace(recipe, stages=())  # hundreds of lines
    words = ["--help" if word == "--help-all" else word for word in words]
    preset = Arguments(tyro.MISSING, tyro.MISSING, recipe=name, settings=recipe)
    return tyro.cli(Arguments, args=words, prog="tunet train", default=preset)


def train(arguments: Arguments) -> None:
    """Run the command."""
    config = _config(arguments)
    from tunetseg.cli.console import shown
    from tunetseg.training.memory import keep_freed_memory
    from tunetseg.training.run import train as train_model

    keep_freed_memory()
    with shown() as progress:
        train_model(config, progress=progress)


def _config(arguments: Arguments) -> TrainConfig:
    fold: Any = arguments.fold
    if fold != "all":
        if not fold.isdecimal():
            raise InputError(f"--fold {fold}: give a number from 0 on, or 'all'")
        fold = int(fold)
    options = dict(network_option(word, "--network-options") for word in arguments.network_options)
    if arguments.base_filters is not None:
        options["base_filters"] = arguments.base_filters
    return TrainConfig(
        cohort=str(arguments.cohort),
        out=str(arguments.out),
        recipe=arguments.settings,
        network=arguments.network,
        network_options=options,
        fold=fold,
        split=None if arguments.split is None else str(arguments.split),
        seed=arguments.run_seed,
        pretrained=arguments.pretrained,
        dataset=arguments.dataset,
        labels=arguments.labels,
        device=arguments.device,
        devices=arguments.devices,
        workers=arguments.workers,
        data_on_device=arguments.data_on_device,
        channels_last=arguments.channels_last,
        cuda_graphs=arguments.cuda_graphs,
        compile=arguments.compile,
        snapshot_minutes=arguments.snapshot_minutes,
        max_minutes=arguments.max_minutes,
        resume=arguments.resume,
        skip_broken=arguments.skip_broken,
        cache=None if arguments.cache is None else str(arguments.cache),
    )


def network_option(word: str, flag: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE; numbers and lists of numbers are read as such."""
    name, equals, text = word.partition("=")
    if not name or not equals or not text:
        raise InputError(f"{flag} {word}: write it as NAME=VALUE, such as levels=3")
    parts = [int(part) if part.isdecimal() else part for part in text.split(",")]
    return name, parts[0] if len(parts) == 1 else tuple(parts)
