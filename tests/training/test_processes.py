"""Several processes train as one does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.models.store import load_network
from tunetseg.training import Recipe, read_state
from tunetseg.training.processes import Processes, run_together, started_by_others

Run = Callable[..., Path]


def test_two_processes_give_the_weights_of_one(run: Run, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    """Each sees one sample of a batch of two; Dice and cross-entropy are of the whole batch all the same."""
    recipe = tiny()
    one, two = run("one", recipe=recipe), run("two", recipe=recipe, devices=2)
    ours, theirs = (load_network(path)[0].state_dict() for path in (two, one))
    # A gradient that is 0 but for rounding, such as that of a bias before a normalisation, is turned by Adam into steps
    # of any sign; a few weights of kernels have one in some step.
    for name, value in theirs.items():
        if value.ndim == 5:
            assert torch.allclose(ours[name], value, atol=1e-3), name
            close = torch.isclose(ours[name], value, rtol=1e-3, atol=2e-5)
            assert close.float().mean() > 0.99, name
    image = torch.randn(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = [load_network(path)[0](image) for path in (two, one)]
    assert torch.allclose(*outputs, atol=1e-3), (outputs[0] - outputs[1]).abs().max()
    first, second = (read_state(tmp_path / name) for name in ("one", "two"))
    assert first is not None
    assert second is not None
    assert first.last is not None
    assert second.last is not None
    assert second.last.dice == pytest.approx(first.last.dice, abs=2e-3)
    assert second.last.loss == pytest.approx(first.last.loss, rel=1e-4)
    assert not torch.distributed.is_initialized()


def test_a_batch_that_devices_cannot_share_is_refused(run: Run) -> None:
    with pytest.raises(InputError, match=r"stages\[0\].batch_size is 2; 3 devices need a multiple"):
        run(devices=3)


def test_places_that_torchrun_and_srun_give(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started_by_others(2) is None
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert started_by_others(4) == Processes(3, 4, 1, 2, "env://")
    assert started_by_others(2) is None, "of another size"
    monkeypatch.delenv("RANK")
    for name, value in {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "2",
        "SLURM_LOCALID": "0",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "node[07-08].invalid",
        "SLURM_JOB_ID": "123",
    }.items():
        monkeypatch.setenv(name, value)
    place = started_by_others(4)
    assert place is not None
    assert (place.rank, place.local_rank, place.nodes) == (2, 0, 2)
    assert place.address.startswith("tcp://node07.invalid:")
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.7")
    place = started_by_others(4)
    assert place is not None
    assert place.address.startswith("tcp://10.0.0.7:"), "a name that nothing resolves"


def _fail(argument: int, place: Processes) -> None:
    raise SystemExit(argument)


def test_a_process_that_fails_is_named() -> None:
    def wait(place: Processes) -> None:
        with place.joined(torch.device("cpu")):
            place.barrier()

    with pytest.raises(RuntimeError, match="one of the 2 training processes ended with code 7"):
        run_together(wait, _fail, 7, 2)
