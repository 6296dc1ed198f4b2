"""Eq. 1: the mean of the models' probabilities, at the memory of one."""

import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.inference.ensemble import Ensemble
from tunetseg.io.volume import Grid, Volume
from tunetseg.models.store import ModelSpec, save_model
from tunetseg.networks import Architecture, build_network
from tunetseg.preparation.preprocess import Preprocessing

CPU = torch.device("cpu")


def write_model(
    folder: Path, seed: int, *, spacing: float = 2.0, regions: tuple[str, ...] = ("whole", "core", "enhancing")
) -> Path:
    torch.manual_seed(seed)
    architecture = Architecture("tunet-seb", base_filters=2, levels=2, regions=regions)
    path = folder / f"model-{seed}-{spacing:g}-{len(regions)}.safetensors"
    save_model(path, build_network(architecture), ModelSpec(architecture, Preprocessing(spacing), (16, 16, 16), True))
    return path


def volume(side: int = 24) -> Volume:
    array = np.zeros((4, side, side, side), np.float32)
    array[:, 3:-2, 2:-3, 4:-1] = np.random.default_rng(0).normal(5, 1, (4, side - 5, side - 5, side - 5))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    return Volume(array, Grid(nib.Nifti1Image(array[0], affine).header, affine, (side, side, side)))


def test_an_ensemble_is_the_mean_of_its_models(tmp_path: Path) -> None:
    # Of one spacing and of another: each model works at its own.
    paths = [write_model(tmp_path, 0), write_model(tmp_path, 1), write_model(tmp_path, 2, spacing=1.5)]
    alone = [Ensemble((path,), CPU, precision="32").predict(volume()) for path in paths]
    together = Ensemble(tuple(paths), CPU, precision="32").predict(volume())
    assert together == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)


def test_outside_the_brain_there_is_no_tumour(tmp_path: Path) -> None:
    found = Ensemble((write_model(tmp_path, 0),), CPU).predict(volume())
    assert found.shape == (3, 24, 24, 24)
    assert not found[:, :3].any()
    assert not found[:, :, :, :4].any()
    assert found[:, 3:-2, 2:-3, 4:-1].min() > 0


def test_progress_goes_from_0_to_1(tmp_path: Path) -> None:
    shares: list[float] = []
    Ensemble((write_model(tmp_path, 0), write_model(tmp_path, 1)), CPU).predict(volume(), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_memory_does_not_grow_with_the_models(tmp_path: Path) -> None:
    paths = [write_model(tmp_path, seed) for seed in range(6)]
    peaks = []
    for some in (paths[:2], paths):
        tracemalloc.start()
        Ensemble(tuple(some), CPU).predict(volume(48))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_models_that_do_not_fit_are_said(tmp_path: Path) -> None:
    good, other = write_model(tmp_path, 0), write_model(tmp_path, 1, regions=("kidney", "tumour"))
    with pytest.raises(InputError, match="regions or modalities differ"):
        Ensemble((good, other), CPU)
    with pytest.raises(InputError, match="no model given"):
        Ensemble((), CPU)
    with pytest.raises(InputError, match=r"overlap 1\.0"):
        Ensemble((good,), CPU, overlap=1.0)
