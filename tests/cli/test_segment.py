"""``tunet segment``, from files to files."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import Case, find_cases
from tunetseg.datasets.phantom import write_cohort

CHANNELS = ("t1", "t1ce", "t2", "flair")


@pytest.fixture(scope="module")
def case(mri_cohort: Path) -> Case:
    return find_cases(mri_cohort)[0]


@pytest.fixture
def segment(tiny_model: Path, tmp_path: Path) -> Callable[..., int]:
    """Return a function that runs the command with a tiny model, into ``out`` if no other folder is given."""

    def run(*words: object, out: Path = tmp_path / "out", model: Path = tiny_model) -> int:
        return main(["segment", *map(str, words), "--out", str(out), "--model", str(model), "--device", "cpu"])

    return run


def flags(folder: Path, case: Case) -> list[str]:
    """Copies of a patient's images that are named by their contrast alone, as arguments."""
    folder.mkdir()
    copies = {name: shutil.copy(case.images[name], folder / f"{name}.nii.gz") for name in CHANNELS}
    return [word for name, path in copies.items() for word in (f"--{name}", str(path))]


def test_what_the_challenge_wants(case: Case, segment: Callable[..., int], tmp_path: Path) -> None:
    assert segment(case.images["t1"].parent, "--probabilities", "--picture") == 0
    out = tmp_path / "out"
    maps = {f"{case.id}_{kind}_{word}.nii.gz" for kind in ("unc", "prob") for word in ("whole", "core", "enhance")}
    assert {path.name for path in out.iterdir()} == maps | {f"{case.id}{end}" for end in (".nii.gz", ".json", ".png")}
    given = nib.load(case.images["t1"])
    for path in out.glob("*.nii.gz"):
        image = nib.load(path)
        assert image.shape == given.shape
        assert np.array_equal(image.affine, given.affine)
    assert json.loads((out / f"{case.id}.json").read_text())["labels"] == "brats2017"


def test_four_files_and_a_year(case: Case, segment: Callable[..., int], tmp_path: Path) -> None:
    assert segment(*flags(tmp_path / "in", case), "--name", "anna", "--labels", "2023") == 0
    assert json.loads((tmp_path / "out/anna.json").read_text())["labels"] == "brats2023"
    assert set(np.unique(nib.load(tmp_path / "out/anna.nii.gz").dataobj)) <= {0, 1, 2, 3}


def test_any_channel_as_image(
    ct_cohort: Path, case: Case, make_model: Callable[..., Path], segment: Callable[..., int], tmp_path: Path
) -> None:
    model = make_model(tmp_path / "m.safetensors", "kits19", spacing=20.0, patch_size=(20, 20, 12))
    image = find_cases(ct_cohort)[0].images["ct"]
    assert segment("--image", f"ct={image}", model=model) == 0
    assert {path.name for path in (tmp_path / "out").glob("prediction_00000*")} >= {"prediction_00000.nii.gz"}
    words = [word for name in CHANNELS for word in (f"{name}={case.images[name]}",)]
    assert segment("--image", *words, "--name", "anna") == 0
    assert (tmp_path / "out/anna.json").exists()


def test_a_channel_that_the_model_does_not_have(
    ct_cohort: Path, segment: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment("--image", f"ct={find_cases(ct_cohort)[0].images['ct']}") == 2
    assert "unknown channel 'ct'; choose from t1, t1ce, flair, t2" in capsys.readouterr().err
    assert segment(ct_cohort) == 2
    assert "no t1, t1ce, flair or t2 image" in capsys.readouterr().err


def test_files_of_a_dataset_that_is_named(segment: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'extends = "brats2020"\nname = "mine"\n[files]\ncase = "p.+"\n[files.channels]\n'
        + "".join(f'{name} = "{{case}}-{name[::-1]}"\n' for name in CHANNELS)
    )
    write_cohort(tmp_path / "cohort", cases=1, shape=(24, 24, 16), spacing=10.0)
    folder = tmp_path / "p7"
    folder.mkdir()
    for name, path in find_cases(tmp_path / "cohort")[0].images.items():
        shutil.copy(path, folder / f"p7-{name[::-1]}.nii.gz")
    assert segment(folder) == 2
    assert segment(folder, "--dataset", tmp_path / "mine.toml") == 0
    assert json.loads((tmp_path / "out/p7.json").read_text())["case"] == "p7"


def test_rules_that_are_chosen(case: Case, segment: Callable[..., int], tmp_path: Path) -> None:
    used = {}
    for name in ("model", "none"):
        assert segment(case.images["t1"].parent, "--postprocessing", name, out=tmp_path / name) == 0
        used[name] = json.loads((tmp_path / f"{name}/{case.id}.json").read_text())["settings"]["postprocessing"]
    assert used["model"]["min_volume_mm3"] == 500
    assert used["none"]["min_volume_mm3"] == 0
    assert segment(case.images["t1"].parent, "--postprocessing", "mine") == 2


def test_a_list_of_cases(mri_cohort: Path, segment: Callable[..., int], tmp_path: Path) -> None:
    wanted = [case.id for case in find_cases(mri_cohort)][1:3]
    (tmp_path / "validation.txt").write_text("\n".join(wanted))
    assert segment(mri_cohort, "--cases", tmp_path / "validation.txt") == 0
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == set(wanted)


def test_several_models_mirrored(case: Case, make_model: Callable[..., Path], tmp_path: Path) -> None:
    models = [str(make_model(tmp_path / f"{n}.safetensors", seed=n, spacing=10.0 + n)) for n in range(2)]
    words = ["segment", str(case.images["t1"].parent), "--out", str(tmp_path / "out"), "--mirror", "--overlap", "0.25"]
    assert main([*words, "--model", *models]) == 0
    manifest = json.loads((tmp_path / f"out/{case.id}.json").read_text())
    assert [model["file"] for model in manifest["models"]] == ["0.safetensors", "1.safetensors"]
    assert manifest["settings"]["mirror"] is True
    assert manifest["settings"]["overlap"] == 0.25


def test_a_cohort_with_a_broken_case(
    mri_cohort: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mri_cohort, tmp_path / "cohort")
    cases = find_cases(tmp_path / "cohort")
    for path in cases[1].images.values():
        path.unlink()
    assert segment(tmp_path / "cohort") == 2
    said = capsys.readouterr()
    assert f"{cases[1].id}: no t1, t1ce, flair or t2 image" in said.err
    last = said.out.splitlines()[-2:]
    assert last[0] == f"3 of 4 cases are done, 1 were left out; see {tmp_path / 'out/failed.csv'}"
    assert last[1].startswith(f"LEFT OUT: {cases[1].id}: no t1, t1ce")
    assert segment(tmp_path / "cohort", "--skip-broken") == 0
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {case.id for case in cases} - {cases[1].id}


def test_patients_who_lack_sequences(
    mri_cohort: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mri_cohort, tmp_path / "cohort")
    first, second, *_ = find_cases(tmp_path / "cohort")
    second.images["flair"].unlink()
    assert segment(tmp_path / "cohort", "--without", "t2", "t1") == 0
    missing = {
        case.id: json.loads((tmp_path / f"out/{case.id}.json").read_text())["missing"] for case in (first, second)
    }
    assert missing == {first.id: ["t1", "t2"], second.id: ["t1", "flair", "t2"]}
    said = capsys.readouterr().out
    assert f"WARNING: {first.id}: no t1 or t2 image: replaced by zeros, so expect worse results" in said
    assert segment("--t1ce", first.images["t1ce"], out=tmp_path / "one") == 0
    assert json.loads((tmp_path / f"one/{first.id}.json").read_text())["missing"] == ["t1", "flair", "t2"]
    assert segment(tmp_path / "cohort", "--without", "ct") == 2
    assert "--without ct: unknown channel; choose from t1, t1ce, flair, t2" in capsys.readouterr().err


def test_the_files_of_a_patient_are_never_replaced(
    case: Case, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(tmp_path / "in", case)
    before = (tmp_path / "in/t1.nii.gz").read_bytes()
    assert segment(*words, "--name", "t1", out=tmp_path / "in") == 2
    assert "t1.nii.gz: is a file of the patient; choose another folder" in capsys.readouterr().err
    assert (tmp_path / "in/t1.nii.gz").read_bytes() == before
    for name in ("../out", "a/b"):
        assert segment(*words, "--name", name) == 2
        assert "cannot hold a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_no_bug(
    case: Case,
    segment: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = [case.images["t1"].parent, "--probabilities"]
    assert segment(*words) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    monkeypatch.setattr(nib, "save", full)
    assert segment(*words) == 1
    error = capsys.readouterr().err
    assert "_unc_whole.nii.gz: No space left on device; check the disk" in error
    assert "Traceback" not in error
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before, "the old result stays"


def test_strict_turns_warnings_into_an_exit_code(case: Case, segment: Callable[..., int]) -> None:
    assert segment(case.images["t1"].parent) == 0
    assert segment(case.images["t1"].parent, "--strict") == 3


def test_parts_give_what_one_process_does(
    segment: Callable[..., int], mri_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(mri_cohort, out=tmp_path / "one") == 0
    assert segment(mri_cohort, "--shards", "2", "--without", "t2", out=tmp_path / "other") == 0
    assert segment(mri_cohort, "--shards", "2", out=tmp_path / "parts") == 0
    assert "4 cases are segmented" in capsys.readouterr().out
    assert (tmp_path / "parts/volumes.csv").read_text() == (tmp_path / "one/volumes.csv").read_text()
    for path in (tmp_path / "one").glob("*.nii.gz"):
        assert np.array_equal(nib.load(path).get_fdata(), nib.load(tmp_path / "parts" / path.name).get_fdata())
    manifest = json.loads(next((tmp_path / "other").glob("*.json")).read_text())
    assert manifest["missing"] == ["t2"]


def test_parts_for_a_scheduler(
    segment: Callable[..., int], mri_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(mri_cohort, "--shards", "3", "--launcher", "slurm", "--limit", "2", "--dry-run", "--redo") == 0
    jobs = tmp_path / "out/jobs"
    assert f"--array=0-2%2 --cpus-per-task=4 --ntasks=1 {jobs}/job.sh {jobs}/tasks.txt" in capsys.readouterr().out
    lines = (jobs / "tasks.txt").read_text().splitlines()
    assert [line.split("--cases ")[1].split(";")[0] for line in lines] == [f"{jobs}/cases-{n}.txt" for n in range(3)]
    assert all("--redo" in line for line in lines)
    assert not {"--cases", "--redo"} & {*(jobs / "then.txt").read_text().split()}, "or all would be done twice"
    assert len((jobs / "cases-0.txt").read_text().splitlines()) == 2


def test_single_files_are_not_shared_out(
    segment: Callable[..., int], case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [word for name, path in case.images.items() for word in (f"--{name}", path)]
    assert segment(*flags, "--shards", "2") == 2
    assert "single files are given" in capsys.readouterr().err
