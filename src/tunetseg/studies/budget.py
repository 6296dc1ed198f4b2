"""How many epochs a budget of time buys each network, from the seconds of its steps, timed in turn."""

import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import torch

from tunetseg.errors import InputError
from tunetseg.models.device import choose_device, uses_bfloat16
from tunetseg.networks import SegmentationNetwork, build_network, speed_up_on_cpu
from tunetseg.progress import Progress, silent
from tunetseg.studies.plan import Timing
from tunetseg.training.loss import RegionLoss
from tunetseg.training.planning import Plan
from tunetseg.training.recipes import Recipe, Stage

__all__ = ["budgeted", "time_networks", "time_passes"]

_LOG = logging.getLogger(__name__)


def time_networks(runs: Mapping[str, Plan], *, rounds: int = 3, progress: Progress = silent) -> dict[str, Timing]:
    """Return the seconds of a training step and of a forward pass of each network, in every stage of its recipe.

    The input is random. Each round times every network once, after a step that is not timed, so that other work on the
    computer meets all of them alike. On a CPU one core works, and only its own seconds count.

    Args:
        runs: Name -> run, with a network and a recipe.
        rounds: How often each is timed; medians are returned.
        progress: Told after each network.
    """
    found: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in runs}
    with _one_thread():
        for number in range(rounds * len(runs)):
            name = [*runs][number % len(runs)]
            found[name].append([_timed(runs[name], stage) for stage in runs[name].recipe.stages])
            progress("timing networks", number + 1, rounds * len(runs))
    return {name: _medians(measured) for name, measured in found.items()}


def _medians(measured: list[list[tuple[float, float]]]) -> Timing:
    stages = [*zip(*measured, strict=True)]
    step, forward = (
        tuple(round(statistics.median(pair[which] for pair in stage), 4) for stage in stages) for which in (0, 1)
    )
    return Timing(step=step, forward=forward)


def budgeted(recipe: Recipe, timing: Timing, cases: int, minutes: float) -> Recipe:
    """Return a recipe whose steps take so many minutes: all stages get more epochs, or fewer, in proportion.

    Preparation, validation and saving are not counted.

    Args:
        recipe: The recipe.
        timing: Of the network that it trains.
        cases: Number of training cases.
        minutes: The budget.

    Raises:
        InputError: The number of steps per epoch is not known before the cases are prepared.
    """
    if any(stage.sampling == "grid" for stage in recipe.stages):
        raise InputError(
            f"recipe {recipe.name}: shows a grid of patches over each case, so the steps that a budget buys are not "
            "known beforehand; choose a recipe with random sampling"
        )
    epoch = [
        math.ceil(cases * stage.samples_per_case / stage.batch_size) * seconds
        for stage, seconds in zip(recipe.stages, timing.step, strict=True)
    ]
    whole = sum(stage.epochs * seconds for stage, seconds in zip(recipe.stages, epoch, strict=True))
    factor = 60 * minutes / whole
    counts = [max(1, round(stage.epochs * factor)) for stage in recipe.stages]
    if 60 * minutes < sum(epoch) / 2:
        _LOG.warning("an epoch of each stage takes %.0f s, more than the budget of %g minutes", sum(epoch), minutes)
    stages = tuple(
        msgspec.structs.replace(stage, epochs=count) for stage, count in zip(recipe.stages, counts, strict=True)
    )
    return msgspec.structs.replace(recipe, stages=stages)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)


def _timed(run: Plan, stage: Stage) -> tuple[float, float]:
    """Return the seconds of a training step and of a forward pass of the patches of a stage."""
    device = choose_device(run.config.device)
    network = build_network(run.network).train().to(device)
    if device.type == "cpu":
        speed_up_on_cpu(network)
    return time_passes(
        network,
        (stage.batch_size, run.network.in_channels, *stage.patch_size),
        len(run.network.regions),
        RegionLoss(run.recipe.bce_weight),
        bfloat16=uses_bfloat16(run.recipe.precision, device),
        clock=time.process_time if device.type == "cpu" else time.perf_counter,
    )


def time_passes(
    network: SegmentationNetwork,
    shape: tuple[int, int, int, int, int],
    regions: int,
    criterion: RegionLoss,
    *,
    bfloat16: bool,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Return the seconds of a training step and of a forward pass on random input, each after one that is not timed.

    Args:
        network: In training mode, on its device; its weights are changed, and it is left in evaluation mode.
        shape: Of the input: (batch, channel, x, y, z).
        regions: Number of regions.
        criterion: Loss.
        bfloat16: Use bfloat16 where autocast does.
        clock: Returns seconds.
    """
    device = next(network.parameters()).device
    optimizer = torch.optim.Adam(network.parameter_groups(1e-5), lr=1e-4)
    image = torch.randn(shape, device=device)
    # Nested, with every region: some networks cut their input to the region outside.
    masks = (torch.rand(shape[0], regions, *shape[2:], device=device) > 0.9).float().cummin(1).values

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            result = network.loss_terms(image, masks, criterion)
        optimizer.zero_grad()
        result.total.backward()
        optimizer.step()

    def forward() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            network(image)

    def finish() -> None:
        """Wait for what is queued, the warm-up too."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    def seconds(work: Callable[[], None]) -> float:
        finish()
        began = clock()
        work()
        finish()
        return clock() - began

    step()
    of_step = seconds(step)
    network.eval()
    forward()
    return of_step, seconds(forward)
