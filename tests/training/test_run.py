"""A whole run on tiny patients: it learns, it resumes, it says what is wrong."""

import copy
import csv
import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import make_patient, write_cohort, write_patient
from tunetseg.errors import InputError
from tunetseg.models.store import file_hash, load_model, read_spec
from tunetseg.networks import Architecture, build_network
from tunetseg.preparation.preprocess import Preprocessing
from tunetseg.training.checkpoint import SafeCheckpoints, SaveEachEpoch
from tunetseg.training.loss import cascade_loss
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import PatchDataset
from tunetseg.training.recipes import RECIPES, Augmentation, Recipe, Stage, recipe_from_dict, recipe_named
from tunetseg.training.run import train

TINY = Recipe(
    name="tiny",
    base_filters=2,
    levels=3,
    folds=2,
    cross_entropy=1.0,
    average=0.9,
    precision="32",
    keep="last",
    stages=tuple(
        Stage(spacing=spacing, patch=patch, whole_volume=True, batch=2, epochs=2, schedule="cosine", stop_patience=0,
              learning_rate=3e-3, augmentation=Augmentation(flip=(0.5, 0, 0), rotation=(5, 5, 5), noise=0.1))
        for spacing, patch in ((10.0, (16, 20, 16)), (8.0, (20, 24, 20)))
    ),
)  # fmt: skip


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    write_cohort(tmp_path / "cohort", cases=4)
    return tmp_path / "cohort"


def quiet(line: str) -> None:
    pass


def test_run_folder_and_model(cohort: Path, tmp_path: Path) -> None:
    model = train(cohort, tmp_path / "run", recipe=TINY, variant="tunet-reb2-seb", fold=1, say=quiet)
    spec = read_spec(model)
    assert spec.preprocessing == Preprocessing(spacing=8.0)
    assert (spec.window, spec.whole_volume, spec.architecture.variant) == ((20, 24, 20), True, "tunet-reb2-seb")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert sorted(record["training"] + record["validation"]) == [f"BraTS20_Training_{n:03d}" for n in range(4)]
    assert (tmp_path / "run/validation.txt").read_text().split() == record["validation"]
    assert "val/dice_enhancing" in (tmp_path / "run/stage-1/csv/metrics.csv").read_text()


def test_cosine_rises_to_its_peak_and_ends_at_the_final_rate() -> None:
    stage = Stage(schedule="cosine", warmup=4, final_rate=0.2, learning_rate=1e-2)
    module = TrainingModule(build_network(Architecture(base_filters=2, levels=2)), Recipe(), stage, 104)
    shape = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [shape(step) for step in (0, 3, 4, 54, 104, 200)] == pytest.approx([0.25, 1, 1, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_ends_where_an_unbroken_one_does(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    whole = train(cohort, tmp_path / "whole", recipe=TINY, say=quiet)

    class KilledError(Exception):
        pass

    save = SaveEachEpoch.on_train_epoch_end
    calls = []

    def killed_after_three(self: SaveEachEpoch, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 3:
            raise KilledError

    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", killed_after_three)
    with pytest.raises(KilledError):
        train(cohort, tmp_path / "broken", recipe=TINY, workers=workers, say=quiet)
    assert not (tmp_path / "broken/model.safetensors").exists()
    resumed = train(cohort, tmp_path / "broken", recipe=TINY, workers=workers, resume=True, say=quiet)
    ours, theirs = (load_model(path)[0].state_dict() for path in (resumed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_starting_from_a_models_weights(cohort: Path, tmp_path: Path) -> None:
    first = train(cohort, tmp_path / "first", recipe=TINY, say=quiet)
    still = dataclasses.replace(
        TINY, average=0.0, stages=tuple(dataclasses.replace(stage, learning_rate=0.0) for stage in TINY.stages)
    )
    second = train(cohort, tmp_path / "second", recipe=still, pretrained=tmp_path / "first", say=quiet)
    ours, theirs = (load_model(path)[0].state_dict() for path in (second, first))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "without learning they stay as they were"
    record = json.loads((tmp_path / "second/run.json").read_text())
    assert record["pretrained"]["sha256"] == file_hash(first) == file_hash(tmp_path / "second/start.safetensors")
    assert read_spec(second).training["pretrained"] == file_hash(first)
    with pytest.raises(InputError, match="cannot start"):
        train(cohort, tmp_path / "third", recipe=TINY, variant="tunet", pretrained=first, say=quiet)
    assert not (tmp_path / "third").exists()


def test_going_on_from_weights_draws_other_changes(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    plain = PatchDataset.__getitem__

    def noted(self: PatchDataset, key: tuple[int, int]) -> dict[str, Any]:
        sample = plain(self, key)
        if self.training:
            drawn.append(sample["seed"])
        return sample

    monkeypatch.setattr(PatchDataset, "__getitem__", noted)
    short = dataclasses.replace(TINY, stages=(dataclasses.replace(TINY.stages[0], epochs=1),))
    train(cohort, tmp_path / "first", recipe=short, say=quiet)
    train(cohort, tmp_path / "second", recipe=short, pretrained=tmp_path / "first", say=quiet)
    train(cohort, tmp_path / "third", recipe=short, pretrained=tmp_path / "first", say=quiet)
    assert len(drawn) == 6
    first, second, third = drawn[:2], drawn[2:4], drawn[4:]
    assert not set(first) & set(second)
    assert second == third


def test_names_with_spaces(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for path in cohort.rglob("*.nii.gz"):
        path.rename(tmp_path / "flat" / path.name.replace("BraTS20_Training_", "sub "))
    train(tmp_path / "flat", tmp_path / "run", recipe=TINY, labels="2020", say=quiet)
    names = [(tmp_path / f"run/{side}.txt").read_text().splitlines() for side in ("training", "validation")]
    assert sorted(names[0] + names[1]) == [f"sub {n:03d}" for n in range(4)]


def test_labels_of_another_organ_are_refused(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are not the model's"):
        train(cohort, tmp_path / "run", recipe=TINY, labels="kits19", say=quiet)
    assert not (tmp_path / "run").exists()


def test_a_schedulers_variables_change_nothing(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    short = dataclasses.replace(TINY, stages=TINY.stages[:1])
    assert train(cohort, tmp_path / "run", recipe=short, say=quiet).exists()


def test_a_changed_recipe_does_not_go_by_the_packaged_ones_name() -> None:
    quick = RECIPES["quick"]
    assert (quick.title, TINY.title) == ("quick", "tiny")
    assert dataclasses.replace(quick, l2=0.5).title == "quick, changed"


def test_without_a_compiler_compiling_is_refused(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs a C"):
        train(cohort, tmp_path / "run", recipe=TINY, compiled=True, say=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_gradients_are_the_same() -> None:
    torch.manual_seed(0)
    plain = build_network(Architecture("tunet-seb", base_filters=2, levels=2))
    module = TrainingModule(copy.deepcopy(plain), TINY, TINY.stages[0], steps=1, compiled=True)
    image, masks = torch.randn(1, 4, 8, 12, 8), (torch.rand(1, 3, 8, 12, 8) > 0.5).float()
    for predict in (plain, module.predict):
        cascade_loss(predict(image), masks, 1.0).backward()
    for (name, ours), theirs in zip(module.network.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5), name


def test_a_run_is_not_overwritten(cohort: Path, tmp_path: Path) -> None:
    train(cohort, tmp_path / "run", recipe=TINY, say=quiet)
    with pytest.raises(InputError, match="holds a run already"):
        train(cohort, tmp_path / "run", recipe=TINY, say=quiet)
    with pytest.raises(InputError, match="begun with another fold"):
        train(cohort, tmp_path / "run", recipe=TINY, fold=1, resume=True, say=quiet)


def test_a_finished_run_stays_what_it_was(cohort: Path, tmp_path: Path) -> None:
    """Whatever of its folder was deleted, no other request gets its model or writes over its record."""
    train(cohort, tmp_path / "run", recipe=TINY, say=quiet)
    record = (tmp_path / "run/run.json").read_text()
    for stage in ("stage-0", "stage-1"):
        shutil.rmtree(tmp_path / "run" / stage)
    with pytest.raises(InputError, match="holds a run already"):
        train(cohort, tmp_path / "run", recipe=TINY, variant="tunet", say=quiet)
    assert (tmp_path / "run/run.json").read_text() == record
    (tmp_path / "run/run.json").write_text(record[:100])
    with pytest.raises(InputError, match="missing or damaged"):
        train(cohort, tmp_path / "run", recipe=TINY, resume=True, say=quiet)


def test_one_process_a_run_folder(cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run/.lock"), pytest.raises(InputError, match="another process"):
        train(cohort, tmp_path / "run", recipe=TINY, say=quiet)
    assert not (tmp_path / "run/run.json").exists()


def test_a_case_mended_in_between_is_noticed(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mended = cohort / "BraTS20_Training_000/BraTS20_Training_000_t2.nii.gz"
    content = mended.read_bytes()
    mended.write_bytes(content[:2000])
    save = SaveEachEpoch.on_train_epoch_end

    def interrupted(self: SaveEachEpoch, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(cohort, tmp_path / "run", recipe=TINY, fold="all", skip_broken=True, say=quiet)
    mended.write_bytes(content)
    with pytest.raises(InputError, match=r"other cases.*BraTS20_Training_000"):
        train(cohort, tmp_path / "run", recipe=TINY, fold="all", skip_broken=True, resume=True, say=quiet)
    assert "BraTS20_Training_000" not in (tmp_path / "run/training.txt").read_text()


def test_a_segmentation_that_leads_nowhere_is_a_broken_case(cohort: Path, tmp_path: Path) -> None:
    path = cohort / "BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.nii.gz")
    said: list[str] = []
    train(cohort, tmp_path / "run", recipe=TINY, fold="all", skip_broken=True, say=said.append)
    assert any("left out" in line and path.name in line for line in said)
    assert sum(line.startswith("epoch ") for line in said) == 4


def test_a_loss_that_is_no_number_stops_the_run(cohort: Path, tmp_path: Path) -> None:
    wild = dataclasses.replace(
        TINY, stages=tuple(dataclasses.replace(stage, learning_rate=1e30, epochs=4) for stage in TINY.stages)
    )
    with pytest.raises(InputError, match="lower learning rate"):
        train(cohort, tmp_path / "run", recipe=wild, say=quiet)
    assert not (tmp_path / "run/model.safetensors").exists()


def test_broken_case_is_reported_and_left_out_when_told(cohort: Path, tmp_path: Path) -> None:
    broken = cohort / "BraTS20_Training_000/BraTS20_Training_000_t2.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(InputError, match="000_t2"):
        train(cohort, tmp_path / "one", recipe=TINY, fold="all", say=quiet)
    said: list[str] = []
    train(cohort, tmp_path / "two", recipe=TINY, fold="all", skip_broken=True, say=said.append)
    assert any("left out" in line and "000_t2.nii.gz" in line for line in said)


def test_tiny_network_overfits_one_patient() -> None:
    patient = make_patient(0, shape=(32, 32, 24), spacing=7.0)
    import numpy as np

    from tunetseg.datasets import SCHEMES
    from tunetseg.preparation.preprocess import normalise

    image = torch.from_numpy(normalise(np.stack([patient.images[m] for m in ("t1", "t1ce", "flair", "t2")])))[None]
    masks = torch.from_numpy(SCHEMES["brats2017"].masks(patient.label_map)).float()[None]
    torch.manual_seed(0)
    network = build_network(Architecture("tunet-seb", base_filters=4, levels=3))
    network.reset_parameters(-3.0)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        cascade_loss(network(image), masks).backward()
        optimizer.step()
    found = network(image) > 0
    dice = 2 * (found & (masks > 0)).sum((0, 2, 3, 4)) / (found.sum((0, 2, 3, 4)) + masks.sum((0, 2, 3, 4)))
    assert (dice > 0.95).all(), dice


def test_recipe_paper_is_the_papers() -> None:
    recipe = RECIPES["paper"]
    (stage,) = recipe.stages
    assert (recipe.base_filters, recipe.levels, recipe.folds, recipe.l2) == (16, 4, 5, 1e-5)
    assert (recipe.cross_entropy, recipe.head_bias, recipe.average) == (0, 0, 0)
    assert (stage.spacing, stage.patch, stage.batch, stage.epochs) == (1.0, (80, 96, 64), 4, 200)
    assert (stage.learning_rate, stage.plateau_factor, stage.plateau_patience, stage.stop_patience) == (
        1e-4,
        0.2,
        6,
        15,
    )
    assert stage.augmentation == Augmentation(flip=(0.5, 0, 0), rotation=(0, 0, 1))


def test_recipe_survives_json() -> None:
    for recipe in RECIPES.values():
        assert recipe_from_dict(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe
    with pytest.raises(InputError, match="'batchsize'"):
        recipe_from_dict({"stages": [{"batchsize": 3}]})
    with pytest.raises(InputError, match="single voxel"):
        recipe_from_dict({"stages": [{"patch": [8, 8, 8], "batch": 4}]})


def test_low_grade_patients_train_too(tmp_path: Path) -> None:
    for number in range(2):
        write_patient(make_patient(number, shape=(48, 48, 32), spacing=5, grade="LGG"), tmp_path / "c", number=number)
    assert train(tmp_path / "c", tmp_path / "run", recipe=TINY, say=quiet).exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("keep", "lowest", "best, last"),
        ("precision", "fp16", "auto, bf16, 32"),
        ("schedule", "linear", "plateau, cosine"),
        ("sampling", "Grid", "grid, random"),
        ("patch", [80, 96], "three whole numbers"),
        ("learning_rate", -1.0, "0 or more"),
        ("spacing", 25, "between 0.2 and 20"),
        ("epochs", 1.5, "a whole number"),
        ("validate_every", 0, "1 or more"),
        ("augmentation", {"flip": [1]}, "three numbers"),
        ("augmentation", {"scale": 1.5}, "between 0 and 0.9"),
        ("augmentation", 4, "fields with values"),
        ("average", 1.5, "between 0 and"),
        ("denoise", 1, "true or false"),
        ("seed", -1, "between 0 and"),
        ("stages", 5, "a list"),
    ],
)
def test_a_file_cannot_hold_what_a_flag_cannot(field: str, value: object, said: str) -> None:
    ofrecipe = {field.name for field in dataclasses.fields(Recipe)}
    raw = {field: value} if field in ofrecipe else {"stages": [{field: value}]}
    with pytest.raises(InputError, match=said):
        recipe_from_dict(raw)


def test_plateau_and_stop_survive_a_resumption(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing improves, the rate falls and training ends at the epochs that Keras counts, killed or not."""
    (stage, _) = TINY.stages
    still = dataclasses.replace(
        TINY,
        average=0.0,
        stages=(
            dataclasses.replace(
                stage, learning_rate=1e-12, schedule="plateau", epochs=20, plateau_patience=2, stop_patience=5
            ),
        ),
    )
    train(cohort, tmp_path / "whole", recipe=still, say=quiet)

    class KilledError(Exception):
        pass

    save = SaveEachEpoch.on_train_epoch_end

    def killed(self: SaveEachEpoch, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        raise KilledError

    for number in range(3):
        monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", killed)
        with pytest.raises(KilledError):
            train(cohort, tmp_path / "broken", recipe=still, resume=number > 0, say=quiet)
    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", save)
    train(cohort, tmp_path / "broken", recipe=still, resume=True, say=quiet)
    # The kill came after the last checkpoint; going on does not add an epoch.
    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", save)
    (tmp_path / "broken/model.safetensors").unlink()
    train(cohort, tmp_path / "broken", recipe=still, resume=True, say=quiet)
    rows = [
        row for log in (tmp_path / "broken/stage-0/csv").glob("*.csv") for row in csv.DictReader(log.open(newline=""))
    ]
    assert {row["epoch"] for row in rows} == {str(epoch) for epoch in range(6)}, "no start's log is lost"
    for run in ("whole", "broken"):
        state = SafeCheckpoints().load_checkpoint(tmp_path / run / "stage-0/last.ckpt")
        # One good epoch, then five that are not: the rate falls after the second and the fourth of them.
        assert state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 6, run
        assert state["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-12 * 0.2**2), run


def test_a_terminated_run_is_not_a_finished_one(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = SaveEachEpoch.on_train_epoch_end

    def terminated(self: SaveEachEpoch, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", terminated)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        train(cohort, tmp_path / "run", recipe=TINY, say=said.append)
    assert "--resume" in said[-1]
    assert not (tmp_path / "run/model.safetensors").exists()
    monkeypatch.setattr(SaveEachEpoch, "on_train_epoch_end", save)
    assert train(cohort, tmp_path / "run", recipe=TINY, resume=True, say=quiet).exists()


def test_a_run_of_older_masks_is_not_gone_on_with(cohort: Path, tmp_path: Path) -> None:
    train(cohort, tmp_path / "run", recipe=TINY, say=quiet)
    path = tmp_path / "run/run.json"
    record = json.loads(path.read_text())
    del record["prepared"]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="another version"):
        train(cohort, tmp_path / "run", recipe=TINY, resume=True, say=quiet)


def test_two_scans_of_one_patient_can_be_trained_on(tmp_path: Path) -> None:
    for scan in (1, 2):
        folder = tmp_path / f"c/{scan}"
        write_patient(make_patient(scan, shape=(48, 48, 32), spacing=5), folder, year=2023)
        (case,) = folder.iterdir()
        for path in list(case.iterdir()):
            path.rename(case / path.name.replace("-000-", f"-00{scan}-"))
    assert len({case.patient for case in find_cases(tmp_path / "c")}) == 1
    assert train(tmp_path / "c", tmp_path / "run", recipe=TINY, fold="all", say=quiet).exists()


def test_a_run_that_never_began_does_not_block_its_folder(cohort: Path, tmp_path: Path) -> None:
    next(cohort.rglob("BraTS20_Training_000_t2.nii.gz")).unlink()
    with pytest.raises(InputError, match="no t2 image"):
        train(cohort, tmp_path / "run", recipe=TINY, fold="all", say=quiet)
    for device in ("tpu", "meta"):
        with pytest.raises(InputError, match="cannot be used here"):
            train(cohort, tmp_path / "other", recipe=TINY, device=device, say=quiet)
    assert not (tmp_path / "other").exists()
    model = train(cohort, tmp_path / "run", recipe=TINY, fold="all", skip_broken=True, say=quiet)
    assert (tmp_path / "run/training.txt").read_text().split() == [f"BraTS20_Training_{n:03d}" for n in (1, 2, 3)]
    assert read_spec(model).training["epochs"] == TINY.stages[1].epochs
    assert recipe_named(tmp_path / "run/recipe.json") == TINY
