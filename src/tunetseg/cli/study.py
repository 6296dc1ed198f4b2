"""``tunet study``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from tunetseg.progress import Progress
    from tunetseg.studies import StudyPlan
    from tunetseg.studies.launch import Submission
    from tunetseg.training import Recipe

from tunetseg.cli.options import OptionalFloat, OptionalInt, OptionalPath, OptionalText, OutPath, optional

__all__ = ["study"]

_NETWORKS = ("tunet", "tunet-seb", "tunet-reb1", "tunet-reb1-seb", "tunet-reb2", "tunet-reb2-seb")


def study(
    cohort: Annotated[Path | None, tyro.conf.Positional, optional("COHORT")] = None,
    *,
    out: OutPath,
    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME[:OPTION=VALUE]")] = _NETWORKS,
    recipe: str = "quick",
    folds: OptionalInt = None,
    only: Annotated[tuple[int, ...], optional("FOLD")] = (),
    test: OptionalPath = None,
    launcher: Literal["local", "slurm"] = "local",
    template: OptionalPath = None,
    limit: OptionalInt = None,
    jobs: OptionalInt = None,
    threads: OptionalInt = None,
    dry_run: bool = False,
    max_minutes: OptionalFloat = None,
    step_minutes: OptionalFloat = None,
    dataset: OptionalText = None,
    labels: OptionalText = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    data_on_device: bool = False,
    channels_last: bool = False,
    cuda_graphs: bool = False,
    compile: bool = False,
    skip_broken: bool = False,
    run_seed: OptionalInt = None,
) -> None:
    """Train many models on the same folds, here or on a cluster, and compare them in the tables of the paper.

    Each model is trained by 'tunet train --resume' in a run folder of its own and then segments the cases of its fold,
    which it never saw. Ensembles, scores and tables follow. The same command, or 'tunet study --out STUDY' alone, does
    what is missing, whatever has happened before; 'tunet status STUDY' shows where it stands.

    Args:
        cohort: Folder of cases with reference segmentations; left out to go on with a study.
        out: Folder of the study.
        networks: Networks, see 'tunet info', each with options if need be, such as tunet:coupling=separate; by default
            the paper's six.
        recipe: Name of a recipe, or a .toml or .json file.
        folds: Number of folds; by default the recipe's.
        only: Folds whose models are trained; by default all.
        test: A second cohort with reference segmentations, for the paper's Tables 2 to 4.
        launcher: Run here, or submit an array job to SLURM.
        template: Job script in place of the packaged one for SLURM; the study keeps a copy, which may be edited.
        limit: Models at the same time, of an array job.
        jobs: Models at the same time, here; they share the cores. By default one per four cores or per --threads.
        threads: Threads of each model; by default its share of the cores when the study begins.
        dry_run: Write plan and job files and show them; train nothing and submit nothing.
        max_minutes: Time budget per model; its stages are shortened to fit it.
        step_minutes: Minutes of training steps per model, on one core or one GPU. The networks' steps are timed in turn
            before the study begins, and the epochs are as many as fit: a comparison that other work does not disturb.
        dataset: Dataset of the cohort, or a TOML file that describes it; by default the files tell.
        labels: Dataset whose label values the references of both cohorts have and the segmentations get; by default
            each dataset's own.
        device: auto, cpu, cuda or mps.
        devices: Processes that train a model together, one per device.
        workers: Processes that read patches, per device.
        data_on_device: Hold the prepared cases in the memory of the device.
        channels_last: Store activations with the channels last.
        cuda_graphs: Replay forward and backward pass as CUDA graphs.
        compile: Use torch.compile.
        skip_broken: Report a broken case and continue without it.
        run_seed: Seed of weights, order and augmentation; by default the recipe's.
    """
    from tunetseg.cli.console import line_console, shown
    from tunetseg.studies.local import share_of_cores
    from tunetseg.studies.plan import PLAN, make_plan, open_study, read_plan
    from tunetseg.studies.run import submit_study
    from tunetseg.training.memory import keep_freed_memory

    shared = {
        "max_minutes": max_minutes,
        "dataset": dataset,
        "labels": labels,
        "device": device,
        "devices": devices,
        "workers": workers,
        "data_on_device": data_on_device,
        "channels_last": channels_last,
        "cuda_graphs": cuda_graphs,
        "compile": compile,
        "skip_broken": skip_broken,
        "seed": run_seed,
    }
    console = line_console()
    with shown() as progress:
        if cohort is None:
            plan = read_plan(out)
            at_once, _ = share_of_cores(len(plan.models), jobs, plan.threads)
        else:
            chosen = _recipe(recipe, folds)
            named = [_network(word) for word in networks]
            if threads is None and (out / PLAN).is_file():
                threads = read_plan(out).threads
            at_once, threads = share_of_cores(len(named) * (len(only) or chosen.folds), jobs, threads)
            plan = make_plan(cohort, named, chosen, only=only, threads=threads, step_minutes=step_minutes, **shared)
            if step_minutes is not None:
                keep_freed_memory()  # as training does
            plan = open_study(out, plan, chosen, progress=progress)
        if launcher == "slurm" or dry_run:
            words = () if test is None else ("--test", str(test.resolve()))
            handed = submit_study(plan, out, words=words, template=template, limit=limit, dry_run=dry_run)
            _print_plan(console, plan, out, handed, dry_run=dry_run)
        else:
            _run(plan, out, test, at_once, console, progress)


def _recipe(name: str, folds: int | None) -> "Recipe":
    from tunetseg.training.recipes import find_recipe, recipe_from_dict, recipe_to_dict

    recipe = find_recipe(name)
    return recipe if folds is None else recipe_from_dict({**recipe_to_dict(recipe), "folds": folds}, name)


def _network(word: str) -> tuple[str, dict[str, Any]]:
    """Return name and options of NAME:OPTION=VALUE:OPTION=VALUE."""
    from tunetseg.cli.train import network_option

    name, *options = word.split(":")
    return name, dict(network_option(option, "--networks") for option in options)


def _run(plan: "StudyPlan", out: Path, test: Path | None, jobs: int, console: "Console", progress: "Progress") -> None:
    """Train and segment what is missing, then make the results."""
    from tunetseg.cli.tables import print_lines, print_table
    from tunetseg.errors import InputError
    from tunetseg.evaluation.comparison_text import comparison_lines
    from tunetseg.studies.costs import costs_of
    from tunetseg.studies.results import make_results
    from tunetseg.studies.run import run_here
    from tunetseg.studies.tables import first_table, write_results

    unfinished = run_here(plan, out, jobs=jobs, progress=progress)
    if unfinished:
        name, why = next(iter(unfinished.items()))
        raise InputError(
            f"{len(unfinished)} of {len(plan.models)} models are not finished ({name} {why}); see tunet status {out}, "
            "and run tunet study again"
        )
    results = make_results(plan, out, test=test, jobs=jobs, progress=progress)
    files = write_results(results, plan, out / "results", costs_of(plan, out))
    print_table(console, first_table(results))
    if "masks" in results.comparisons:
        print_lines(console, comparison_lines(results.comparisons["masks"]))
    console.print(f"Wrote {len(files)} files to {out / 'results'}; results.txt has all tables.")


def _print_plan(
    console: "Console", plan: "StudyPlan", out: Path, handed: "Submission | None", *, dry_run: bool
) -> None:
    """Show the models and what was submitted, or would be."""
    console.print(f"{len(plan.models)} models: {', '.join(plan.methods)}; plan in {out / 'plan.json'}")
    if handed is None:
        console.print("All models are finished; run the command here, without a scheduler, for the results.")
        return
    lines: Sequence[str] = handed.commands if dry_run else [f"submitted job {job}" for job in handed.jobs]
    for line in (f"script {handed.script}", *lines):
        console.print(line)
