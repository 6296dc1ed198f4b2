"""``tunet report``, and ``tunet segment --report``."""

import json
import shutil
from pathlib import Path

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases


@pytest.fixture(scope="module")
def results(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segmented patients, one with probability maps."""
    out = tmp_path_factory.mktemp("results")
    for number, flags in enumerate(([], ["--probabilities"])):
        folder = find_cases(mri_cohort)[number].images["t1"].parent
        assert main(["segment", str(folder), "--model", str(tiny_model), "--out", str(out), *flags]) == 0
    return out


def test_a_page_per_patient(
    results: Path, mri_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Path(shutil.copytree(results, tmp_path / "results"))
    first, second = (case.id for case in find_cases(mri_cohort)[:2])
    one = here / f"{first}.nii.gz"
    assert main(["report", str(one), "--images", str(mri_cohort)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Open {here / first}.html in a browser (")
    with_images = (here / f"{first}.html").read_text(encoding="utf-8")
    assert "Compared with the reference" in with_images
    assert "data-probability-whole" not in with_images
    assert "data-uncertainty-whole" in with_images
    assert main(["report", str(here / f"{second}.json"), "--out", str(tmp_path / "page.html")]) == 0
    bare = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The images are not part of this report" in bare
    assert "Compared with the reference" not in bare
    assert "data-probability-whole" in bare
    assert main(["report", str(one)]) == 2
    assert "shows the images, which a page made without them would not; give --images" in capsys.readouterr().err
    assert (here / f"{first}.html").read_text(encoding="utf-8") == with_images
    assert main(["report", str(here / f"{second}.json"), "--out", str(tmp_path / "page.html")]) == 0, "none is lost"


def test_images_of_another_patient_are_refused(
    results: Path, mri_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of BraTS lie on one grid; images under another name must be the same files."""
    first, second = find_cases(mri_cohort)[:2]
    words = ["report", str(results / f"{first.id}.json"), "--out", str(tmp_path / "page.html"), "--images"]
    assert main([*words, str(second.images["t1"].parent)]) == 2
    assert f"has no images of {first.id}; name the folder that was segmented" in capsys.readouterr().err
    renamed = tmp_path / "patient"
    renamed.mkdir()
    for name, path in first.images.items():
        shutil.copy(path, renamed / path.name.replace(first.id, "someone"))
        del name
    assert main([*words, str(renamed)]) == 2, "other names of files"
    copy = Path(shutil.copytree(first.images["t1"].parent, tmp_path / "copy"))
    assert main([*words, str(copy)]) == 0


def test_references_from_elsewhere(results: Path, mri_cohort: Path, tmp_path: Path) -> None:
    case = find_cases(mri_cohort)[0]
    target = tmp_path / "page.html"
    command = ["report", str(results / f"{case.id}.json"), "--references", str(case.reference), "--out", str(target)]
    assert main(command) == 0
    assert "Compared with the reference" in target.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "nothing: there is no such file or folder"),
        (["{images}"], "holds no result of tunet segment; name a folder that it has written"),
        (["{results}/{first}.json", "--images", "{other}"], "has no images of"),
        (["{results}/{first}.json", "--out", "page.pdf"], "a report is an .html file"),
        (["{results}", "--scores", "{results}/{first}.json"], "give tables that tunet evaluate wrote"),
    ],
)
def test_what_cannot_be_shown(
    results: Path,
    mri_cohort: Path,
    ct_cohort: Path,
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = find_cases(mri_cohort)
    names = {"results": results, "images": mri_cohort, "first": cases[0].id, "other": ct_cohort}
    assert main(["report", *(argument.format(**names) for argument in arguments)]) == 2
    assert sentence in capsys.readouterr().err


def test_segment_with_a_report(
    mri_cohort: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = find_cases(mri_cohort)[0]
    command = ["segment", str(case.images["t1"].parent), "--model", str(tiny_model), "--out", str(tmp_path)]
    assert main([*command, "--report"]) == 0
    assert "<case>.json, <case>.html." in capsys.readouterr().out
    manifest = json.loads((tmp_path / f"{case.id}.json").read_text(encoding="utf-8"))
    assert f"{case.id}.html" in manifest["files"]
    assert f"<h1>{case.id}</h1>" in (tmp_path / f"{case.id}.html").read_text(encoding="utf-8")
    assert main(command) == 0
    assert not (tmp_path / f"{case.id}.html").exists(), "the page of an earlier result is not left behind"
    (tmp_path / f"{case.id}.html").write_text("<p>mine")
    assert main([*command, "--report"]) == 2
    assert "was not written by tunetseg" in capsys.readouterr().err
