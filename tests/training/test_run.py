"""A whole run on tiny patients: its folder, its model, and what it refuses."""

import json
import logging
import os
import random
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import make_patient, write_cohort, write_patient
from tunetseg.errors import InputError
from tunetseg.models.store import file_hash, load_network, read_spec
from tunetseg.preparation import Preprocessing
from tunetseg.training import Recipe, TrainConfig, find_recipe, fit, plan, prepare, read_state, train
from tunetseg.training.lock import RunLock
from tunetseg.training.loss import RegionLoss
from tunetseg.training.patches import TrainingPatches
from tunetseg.training.sampling import Key

Run = Callable[..., Path]
Tiny = Callable[..., Recipe]


@pytest.fixture
def cohort(training_cohort: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(training_cohort, tmp_path / "cohort"))


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_run_folder_and_model(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    model = run(recipe=tiny(stages=2), network="tunet-reb2-seb", fold=1, progress=lambda *report: told.append(report))
    spec = read_spec(model)
    assert spec.preprocessing == Preprocessing(spacing=10.0)
    assert (spec.patch_size, spec.whole_volume, spec.network.name) == ((16, 20, 16), True, "tunet-reb2-seb")
    assert (spec.network.options["base_filters"], spec.dataset.name) == (2, "brats2020")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert sorted(record["training"] + record["validation"]) == [f"BraTS20_Training_{n:03d}" for n in range(4)]
    assert (tmp_path / "run/validation.txt").read_text().split() == record["validation"] == spec.training["unseen"]
    assert TrainConfig.from_json(json.dumps(record["config"])).fold == 1
    assert "val/dice_enhancing" in (tmp_path / "run/stage-1/csv/metrics.csv").read_text()
    assert find_recipe(tmp_path / "run/recipe.json").stages[0].spacing == 14.0
    assert ("stage 1, epoch 2 of 2", 3, 3) in told
    assert any(task.startswith("preparing cases at 14 mm") for task, _, _ in told)


def test_the_onnx_file_comes_before_the_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So that a run that is finished has both; a network that cannot be written so does not make it fail."""
    written: list[Path] = []

    def write(model: Path, target: Path) -> None:
        assert not (target.parent / "model.safetensors").exists()
        assert read_spec(model).network.name == "tunet-seb"
        written.append(target)
        if len(written) > 1:
            raise InputError("network 'x' cannot be written as ONNX (why)")

    monkeypatch.setattr("tunetseg.models.export.write_companion", write)
    for name in ("one", "two"):
        assert run(name).is_file()
    assert written == [tmp_path / "one" / "model.safetensors", tmp_path / "two" / "model.safetensors"]
    assert "cannot be written as ONNX (why); the model needs PyTorch to segment" in caplog.text


def test_finished_stages_leave_no_checkpoints(finished: Path) -> None:
    """They took 200 MB per stage, and the last weights alone were asked for (B11)."""
    assert files_in(finished / "stage-0") == {"model.safetensors", "samples.npz"}
    assert files_in(finished / "stage-1") == {"samples.npz"}


def test_the_last_weights_alone_are_written_where_they_are_kept(
    run: Run, tmp_path: Path, kill_after: Callable[..., None], killed: type[Exception]
) -> None:
    kill_after(5)
    with pytest.raises(killed):
        run()
    assert files_in(tmp_path / "run/stage-0") == {"last.safetensors", "samples.npz"}


def test_the_best_weights_are_kept_with_their_scores(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """After the first epoch the rate is so high that the second is worse."""
    recipe = tiny(keep="best", ema_decay=0.0, stage={"learning_rate": 1.0, "epochs": 3})
    training = read_spec(run(recipe=recipe)).training
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state.best is not None
    assert training["epochs"] == state.best.epoch
    assert training["validation"] == {"loss": state.best.loss, "dice": state.best.dice}
    assert files_in(tmp_path / "run/stage-0") == {"samples.npz"}


def test_kept_weights_are_always_validated(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """The end of a stage was not, where its epochs are no multiple of ``validate_every`` (B5)."""
    recipe = tiny(stage={"epochs": 3, "validate_every": 2})
    model = run(recipe=recipe)
    every = run("every", recipe=tiny(stage={"epochs": 3, "validate_every": 1}))
    assert read_spec(model).training["validation"] == read_spec(every).training["validation"]
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state.last is not None
    assert (state.last.epoch, state.status) == (3, "finished")


def test_state_says_where_a_run_stands(
    run: Run, tmp_path: Path, kill_after: Callable[..., None], killed: type[Exception]
) -> None:
    seen: list[Any] = []
    kill_after(5, lambda: seen.append(read_state(tmp_path / "run")))
    run()
    (state,) = seen
    assert (state.status, state.stage, state.stages, state.epoch, state.epochs) == ("running", 0, 1, 1, 2)
    assert set(state.last.dice) == {"whole", "core", "enhancing"}
    assert state.host
    assert state.pid
    assert state.started <= state.updated
    kill_after(1)
    with pytest.raises(killed):
        run("failed")
    failed = read_state(tmp_path / "failed")
    assert failed is not None
    assert (failed.status, failed.message) == ("failed", "KilledError: ")


def test_a_library_call_changes_nothing_around_it(
    run: Run, tiny: Tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to seed Python, numpy and torch, to filter warnings and to silence loggers for the whole process."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    torch.manual_seed(3)

    def surroundings() -> tuple[Any, ...]:
        import os

        levels = [logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric", "tunetseg")]
        random_states = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
        return random_states, list(warnings.filters), levels, dict(os.environ), torch.is_grad_enabled()

    before = surroundings()
    run(recipe=tiny())
    assert surroundings() == before
    assert capsys.readouterr() == ("", "")


def test_training_again_gives_the_same_weights_and_another_seed_others(run: Run, tiny: Tiny) -> None:
    recipe = tiny(stage={"epochs": 1})
    hashes = [file_hash(run(name, recipe=recipe, seed=seed)) for name, seed in (("a", None), ("b", 1))]
    weights = [load_network(run(name, recipe=recipe, resume=True))[0].state_dict() for name in ("a",)]
    again = load_network(run("c", recipe=recipe))[0].state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights[0].items())
    assert hashes[0] != hashes[1]


def test_planning_and_preparing_apart(training_cohort: Path, tmp_path: Path, tiny: Tiny) -> None:
    config = TrainConfig(cohort=str(training_cohort), out=str(tmp_path / "run"), recipe=tiny(stages=2))
    planned = plan(config)
    assert not (tmp_path / "run").exists()
    assert (len(planned.training), len(planned.validation)) == (2, 2)
    prepared = prepare(planned)
    assert set(prepared) == {14.0, 10.0}
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 8
    assert fit(planned).exists()


def test_starting_from_a_models_weights(run: Run, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = run("first")
    still = tiny(ema_decay=0.0, stage={"learning_rate": 0.0})
    second = run("second", recipe=still, pretrained=tmp_path / "first")
    ours, theirs = (load_network(path)[0].state_dict() for path in (second, first))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "without learning they stay as they were"
    record = json.loads((tmp_path / "second/run.json").read_text())
    assert record["pretrained"] == file_hash(first) == file_hash(tmp_path / "second/start.safetensors")
    assert read_spec(second).training["pretrained"] == file_hash(first)
    assert "may have been trained on" not in caplog.text
    run("other", recipe=still, pretrained=tmp_path / "first", fold=1)
    assert "may have been trained on 2 of the 2 validation cases" in caplog.text
    assert read_spec(second).training["unseen"] == read_spec(first).training["unseen"]
    other = read_spec(tmp_path / "other/model.safetensors")
    assert other.training["unseen"] == [], "the first model was trained on what this one validates on"
    assert len((tmp_path / "other/validation.txt").read_text().split()) == 2
    with pytest.raises(InputError, match=r"which cannot start tunet \(base_filters 2"):
        run("third", network="tunet", pretrained=first)
    assert not (tmp_path / "third").exists()


def test_continuing_from_weights_draws_other_changes(run: Run, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    plain = TrainingPatches.__getitem__

    def noted(self: TrainingPatches, key: Key) -> dict[str, Any]:
        sample = plain(self, key)
        drawn.append(sample["seed"])
        return sample

    monkeypatch.setattr(TrainingPatches, "__getitem__", noted)
    short = tiny(stage={"epochs": 1})
    first = run("first", recipe=short)
    for name in ("second", "third"):
        run(name, recipe=short, pretrained=first)
    assert len(drawn) == 18
    assert not set(drawn[:6]) & set(drawn[6:12])
    assert drawn[6:12] == drawn[12:]


def test_training_on_all_cases_leaves_none_unseen(run: Run, tiny: Tiny, tmp_path: Path) -> None:
    """``validation.txt`` then held cases that were trained on, which an evaluation took for unseen ones."""
    model = run(recipe=tiny(), fold="all")
    assert read_spec(model).training["unseen"] == []
    assert len((tmp_path / "run/training.txt").read_text().split()) == 4
    assert not (tmp_path / "run/validation.txt").exists()


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A copy of the folder of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_run_is_not_overwritten(done: Path, run: Run, tiny: Tiny) -> None:
    with pytest.raises(InputError, match="holds a run already"):
        run(recipe=tiny(stages=2))
    with pytest.raises(InputError, match="started with another fold"):
        run(recipe=tiny(stages=2), fold=1, resume=True)
    before = file_hash(done / "model.safetensors")
    assert run(recipe=tiny(stages=2), resume=True) == done / "model.safetensors"
    assert file_hash(done / "model.safetensors") == before


def test_a_finished_run_stays_what_it_was(done: Path, run: Run) -> None:
    """Whatever of its folder was deleted, no other request gets its model or writes over its record."""
    record = (done / "run.json").read_text()
    for stage in ("stage-0", "stage-1"):
        shutil.rmtree(done / stage)
    with pytest.raises(InputError, match="holds a run already"):
        run(network="tunet")
    assert (done / "run.json").read_text() == record
    (done / "run.json").write_text(record[:100])
    with pytest.raises(InputError, match="missing or damaged"):
        run(resume=True)


@pytest.mark.parametrize("text", ["null", "[]", "3", "{", "[" * 100_000, "\xff"])
def test_a_record_that_is_none(text: str, done: Path, run: Run, tiny: Tiny) -> None:
    (done / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"run\.json: missing or damaged"):
        run(recipe=tiny(stages=2), resume=True)


def test_a_run_that_is_resumed_elsewhere_says_so(
    done: Path, run: Run, tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    """With other threads or versions its sums are rounded differently."""
    run(recipe=tiny(stages=2), resume=True)
    assert "another environment" not in caplog.text
    path = done / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"environment": record["environment"] | {"threads": 7, "torch": "1.0"}}))
    run(recipe=tiny(stages=2), resume=True)
    assert re.search(r"in another environment \(torch 1\.0 -> [^,]*, threads 7 -> \d+\), so its weights", caplog.text)


def test_a_run_removes_what_a_killed_one_left(done: Path, run: Run, tiny: Tiny) -> None:
    left = [done / "stage-0/.tunetseg-0123ab-1-0123.a", done / ".tunetseg-0123ab-1-0123.b"]
    for path in left:
        path.write_text("half")
        os.utime(path, (0, 0))
    run(recipe=tiny(stages=2), resume=True)
    assert not any(path.exists() for path in left)


def test_a_batch_that_memory_does_not_hold(run: Run, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "1")
    with pytest.raises(InputError, match=r"recipe tiny: a batch of stages\[0\]: needs about .* GB of memory"):
        run(recipe=tiny(stage={"patch_size": [400, 400, 400]}))
    with pytest.raises(InputError, match=r"training tunet: needs about .* GB of memory"):
        run(recipe=tiny(), network="tunet", network_options={"base_filters": 512, "levels": 6})


def test_a_run_of_another_cache_format_is_not_continued(done: Path, run: Run) -> None:
    path = done / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cache_format": 1}))
    with pytest.raises(InputError, match="another version"):
        run(resume=True)


def test_one_process_per_run_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with RunLock(tmp_path / "run"), pytest.raises(InputError, match="another process"):
        run()
    assert not (tmp_path / "run/run.json").exists()
    assert read_state(tmp_path / "run") is None


def test_variables_of_a_scheduler_change_nothing(run: Run, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(recipe=tiny()).exists()


def test_a_repaired_case_is_noticed(
    cohort: Path, run: Run, kill_after: Callable[..., None], killed: type[Exception], tmp_path: Path
) -> None:
    (repaired,) = cohort.rglob("BraTS20_Training_000_t2.nii.gz")
    content = repaired.read_bytes()
    repaired.write_bytes(content[:2000])
    settings = {"cohort": cohort, "fold": "all", "skip_broken": True}
    kill_after(8)
    with pytest.raises(killed):
        run(**settings)
    repaired.write_bytes(content)
    with pytest.raises(InputError, match=r"other cases.*BraTS20_Training_000"):
        run(**settings, resume=True)
    assert "BraTS20_Training_000" not in (tmp_path / "run/training.txt").read_text()


def test_a_broken_case_stops_the_run_or_is_left_out(
    cohort: Path, run: Run, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (cut_off,) = cohort.rglob("BraTS20_Training_000_t2.nii.gz")
    cut_off.write_bytes(cut_off.read_bytes()[:2000])
    (nowhere,) = cohort.rglob("BraTS20_Training_003_seg.nii.gz")
    nowhere.unlink()
    nowhere.symlink_to(tmp_path / "nowhere.nii.gz")
    with pytest.raises(InputError, match="000_t2"):
        run("one", cohort=cohort, recipe=tiny(), fold="all")
    model = run("one", cohort=cohort, recipe=tiny(), fold="all", skip_broken=True)
    assert "left out" in caplog.text
    assert nowhere.name in caplog.text
    names = [f"BraTS20_Training_{n:03d}" for n in (1, 2)]
    assert (tmp_path / "one/training.txt").read_text().split() == names, "a run that learned nothing can start again"
    assert read_spec(model).training["cases"] == 2


def test_a_validation_loss_that_is_not_a_number_stops_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Early stopping would end it as if it were finished."""
    plain = RegionLoss.__call__

    def diverged(self: RegionLoss, logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return plain(self, logits, masks) * (1.0 if torch.is_grad_enabled() else float("nan"))

    monkeypatch.setattr(RegionLoss, "__call__", diverged)
    with pytest.raises(InputError, match="NaN or infinite by step 3; choose a lower learning rate"):
        run()
    assert not (tmp_path / "run/model.safetensors").exists()


def test_a_loss_that_is_not_a_number_stops_the_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RegionLoss, "__call__", lambda self, logits, masks: logits.sum() * float("nan"))
    with pytest.raises(InputError, match="NaN or infinite by step 1; choose a lower learning rate"):
        run()
    assert not (tmp_path / "run/model.safetensors").exists()
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state.status == "failed"
    assert "lower learning rate" in state.message


def test_low_grade_patients_train_too(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(2):
        patient = make_patient(number, shape=(32, 40, 28), spacing=7.0, grade="LGG")
        write_patient(patient, tmp_path / "cohort", number=number)
    recipe = tiny()
    assert train(cohort=str(tmp_path / "cohort"), out=str(tmp_path / "run"), recipe=recipe).exists()


def test_computed_tomography_and_any_nesting(tmp_path: Path, tiny: Tiny, nested_description: Any) -> None:
    """One channel and two regions; and two channels and four regions of a dataset that is not packaged."""
    write_cohort(tmp_path / "kits", cases=2, dataset="kits19")
    recipe = tiny(stage={"spacing": 14.0, "epochs": 1})
    model = train(cohort=str(tmp_path / "kits"), out=str(tmp_path / "ct"), recipe=recipe, dataset="kits19")
    spec = read_spec(model)
    assert (spec.network.in_channels, spec.network.regions) == (1, ("kidney", "tumour"))
    assert set(spec.training["validation"]["dice"]) == {"kidney", "tumour"}
    write_cohort(tmp_path / "onions", cases=2, dataset=nested_description)
    (tmp_path / "onions.toml").write_text(
        "name = 'onions'\nchannels = [{name='first'}, {name='second'}]\n"
        "regions = [{name='peel', labels=[7,2,5,3]}, {name='skin', labels=[2,5,3]}, {name='flesh', labels=[5,3]},"
        " {name='core', labels=[3]}]\n"
        "[files]\ncase = 'case_(?P<patient>\\d+)'\nchannels = {first='{case}_a', second='{case}_b'}\n"
        "reference = '{case}_labels'\n"
    )
    model = train(
        cohort=str(tmp_path / "onions"),
        out=str(tmp_path / "run"),
        recipe=tiny(stage={"spacing": 4.0, "epochs": 1}),
        dataset=str(tmp_path / "onions.toml"),
    )
    assert read_spec(model).network.regions == ("peel", "skin", "flesh", "core")


def test_two_scans_of_one_patient_can_be_trained_on(tmp_path: Path, tiny: Tiny) -> None:
    for scan in (1, 2):
        patient = make_patient(scan, shape=(32, 40, 28), spacing=7.0)
        write_patient(patient, tmp_path / "cohort", name=f"BraTS-GLI-00000-10{scan}", dataset="brats2023")
    recipe = tiny()
    assert train(cohort=str(tmp_path / "cohort"), out=str(tmp_path / "run"), recipe=recipe, fold="all").exists()


def test_what_cannot_be_used_is_refused_before_anything_is_written(
    run: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"labels": "kits19"}, "have other regions than brats2020"),
        ({"device": "tpu"}, "cannot be used here"),
        ({"device": "meta"}, "cannot be used here"),
        ({"network": "unet9"}, "unknown network 'unet9'"),
        ({"network_options": {"depth": 3}}, "unknown option 'depth'"),
        ({"fold": 2}, "fold is 2; choose from 0 to 1, or all"),
        ({"cohort": tmp_path / "nowhere"}, "there is no such folder"),
        ({"recipe": tiny(stage={"patch_size": [2, 2, 2]})}, "a single voxel at the lowest level"),
        ({"pretrained": tmp_path / "nothing"}, "not a packaged model"),
    ]
    for settings, message in refused:
        with pytest.raises(InputError, match=message):
            run(**settings)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs a C"):
        run(compile=True)
    with pytest.raises(TypeError, match="not both"):
        train(TrainConfig(cohort="c", out="o"), fold=1)
    assert not (tmp_path / "run").exists()


def test_patch_sizes_are_rounded_up_to_what_a_network_needs(
    training_cohort: Path, tmp_path: Path, tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tunetseg"):
        planned = plan(
            TrainConfig(
                cohort=str(training_cohort), out=str(tmp_path), recipe=tiny(), network_options={"levels": 4}, fold=0
            )
        )
    assert planned.recipe.stages[0].patch_size == (16, 16, 16)
    assert "patch size (16, 16, 16) instead of (12, 16, 12)" in caplog.text


def test_a_pack_is_trained_on_like_its_cohort(
    training_cohort: Path, tmp_path: Path, tiny: Tiny, prepared: Path
) -> None:
    from tunetseg.datasets import find_cases, find_description
    from tunetseg.preparation.cache import Cache
    from tunetseg.preparation.pack import write_pack

    cache = Cache(prepared, Preprocessing(10.0), find_description("brats2020"))
    write_pack(find_cases(training_cohort), tmp_path / "pack", cache)
    recipe = tiny(stage={"spacing": 10.0})
    models = [
        train(cohort=str(source), out=str(tmp_path / name), recipe=recipe, cache=str(tmp_path / "cache"))
        for name, source in (("packed", tmp_path / "pack"), ("plain", training_cohort))
    ]
    packed, plain = (read_spec(model).training for model in models)
    assert packed["unseen"] == plain["unseen"]
    assert packed["validation"]["loss"] == pytest.approx(plain["validation"]["loss"], abs=0.02)
    with pytest.raises(InputError, match="too coarse"):
        train(cohort=str(tmp_path / "pack"), out=str(tmp_path / "fine"), recipe=tiny(stage={"spacing": 8.0}))
    with pytest.raises(InputError, match="is a pack"):
        train(cohort=str(tmp_path / "pack"), out=str(tmp_path / "fine"), recipe=recipe, labels="brats2020")


def test_training_stores_how_often_channels_were_dropped(run: Callable[..., Path], tiny: Callable[..., object]) -> None:
    """Also in the training of the weights that it starts from."""
    dropout = {"augmentation": {"channel_dropout": {"probability": 0.25}}}
    first = run(recipe=tiny(stage=dropout))
    assert read_spec(first).training["channel_dropout"] == 0.25
    second = run("second", recipe=tiny(), pretrained=str(first))
    assert read_spec(second).training["channel_dropout"] == 0.25


def test_the_folds_of_a_file(cohort: Path, tmp_path: Path) -> None:
    names = [case.id for case in find_cases(cohort)]
    split = tmp_path / "splits_final.json"
    split.write_text(json.dumps([{"train": names[:2], "val": names[2:3]}]))
    config = TrainConfig(cohort=str(cohort), out=str(tmp_path / "run"), split=str(split))
    planned = plan(config)
    assert [case.id for case in planned.training] == names[:2]
    assert [case.id for case in planned.validation] == names[2:3]
    with pytest.raises(InputError, match="a split has no fold 'all'"):
        plan(msgspec.structs.replace(config, fold="all"))
