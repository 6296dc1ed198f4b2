"""Names that control terminals, places that are no files, and a lack of memory, as the command line meets them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunetseg.cli import main as cli
from tunetseg.cli.console import line_console, shown, table_console
from tunetseg.cli.main import main
from tunetseg.cli.tables import print_lines
from tunetseg.cli.text import printable
from tunetseg.datasets import find_cases

ESCAPE = "\x1b]0;PWNED\x07\x1b[2J"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error, which must be the last line."""
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert all(line.isprintable() for line in lines)
    return lines[-1]


def segment_words(images: dict[str, Path], model: Path, out: Path, *more: str) -> list[str]:
    files = [word for channel, path in images.items() for word in (f"--{channel}", str(path))]
    return ["segment", *files, "--model", str(model), "--out", str(out), *more]


@pytest.fixture
def images(mri_cohort: Path) -> dict[str, Path]:
    return dict(find_cases(mri_cohort)[0].images)


# Control characters


def test_control_characters_are_shown_as_letters() -> None:
    assert printable("P_t1.nii.gz, é, 東京\nnext\t") == "P_t1.nii.gz, é, 東京\nnext\t"
    assert printable("a\x1b[31mb\x07\r\x85\u2028\u202e\udcff") == r"a\x1b[31mb\x07\r\x85\u2028\u202e\udcff"


def test_consoles_send_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    line_console().print(f"case {ESCAPE}")
    table_console().print(f"case {ESCAPE}", markup=False)
    print_lines(table_console(), [f"WARNING: {ESCAPE}"])
    with shown() as progress:
        logging.getLogger("tunetseg.somewhere").warning("left out: %s", ESCAPE)
        progress(ESCAPE, 0, 1)
    said = capsys.readouterr()
    assert r"\x1b]0;PWNED\x07\x1b[2J" in said.out
    assert all(letter.isprintable() or letter == "\n" for letter in said.out + said.err)


def test_a_file_that_is_named_to_control_the_terminal(
    images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / f"{ESCAPE}x_t1.nii.gz"
    bad.write_bytes(b"text")
    assert r"\x1b" in refused(segment_words(images | {"t1": bad}, tiny_model, tmp_path / "out"), capsys)
    assert r"\x1b" in refused(segment_words(images, tiny_model, tmp_path / "out", "--name", f"{ESCAPE}x"), capsys)
    assert "holds control characters; rename" in refused(["inspect", str(tmp_path)], capsys)


@pytest.mark.parametrize("name", ["a\nb", "a\r", "a\u2028b", "a\x85b"])
def test_names_that_break_lists_of_cases_in_two(
    name: str, images: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such cases were trained on, and could not be found again by the lists of the run."""
    for channel, path in images.items():
        shutil.copy(path, tmp_path / f"{name}_{channel}.nii.gz")
    assert "holds control characters; rename" in refused(["inspect", str(tmp_path)], capsys)


# Places


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(
    images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mri_cohort: Path
) -> None:
    pipe = tmp_path / "p.toml"
    os.mkfifo(pipe)
    table = tmp_path / "p.csv"
    os.mkfifo(table)
    train = ["train", str(mri_cohort), "--out", str(tmp_path / "run")]
    for words in (
        ["segment", str(mri_cohort), "--model", str(tiny_model), "--out", str(tmp_path / "out"), "--cases", str(pipe)],
        [*train, "--recipe", str(pipe)],
        [*train, "--dataset", str(pipe)],
        ["compare", str(table), str(table), "--names", "a", "b"],
        segment_words(images | {"t1": pipe}, tiny_model, tmp_path / "out"),
    ):
        assert "is a pipe, not a file" in refused(words, capsys)
    assert "not a packaged model" in refused(segment_words(images, pipe, tmp_path / "out"), capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("ending", ["json", "png", "nii.gz"])
def test_a_pipe_in_the_folder_of_the_results(
    ending: str, images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / f"case.{ending}")
    words = segment_words(images, tiny_model, tmp_path, "--name", "case")
    assert "exists and was not written by tunetseg" in refused(words, capsys)


def test_links_that_lead_to_themselves(
    images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Python 3.11 and 3.12, these were a RuntimeError."""
    loop = tmp_path / "p_t1.nii.gz"
    loop.symlink_to(loop)
    said = refused(segment_words(images | {"t1": loop}, tiny_model, tmp_path / "out"), capsys)
    assert "is a link that leads to itself" in said
    (tmp_path / "out").mkdir()
    (tmp_path / "out/case.nii.gz").symlink_to(tmp_path / "out/case.nii.gz")
    said = refused(segment_words(images, tiny_model, tmp_path / "out", "--name", "case"), capsys)
    assert "exists and was not written by tunetseg" in said
    for channel in ("t1ce", "t2", "flair"):
        shutil.copy(images[channel], tmp_path / f"p_{channel}.nii.gz")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "is a link that leads to itself" in capsys.readouterr().out


@pytest.mark.parametrize("length", [201, 300])
def test_names_that_are_too_long(
    length: int, images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were found to be too long when the model had run."""
    words = segment_words(images, tiny_model, tmp_path / "out", "--name", "n" * length)
    assert "longer than 200 bytes" in refused(words, capsys)
    said = refused(
        segment_words(images | {"t1": tmp_path / ("n" * length + "_t1.nii.gz")}, tiny_model, tmp_path), capsys
    )
    assert "there is no such" in said or "longer than file systems allow" in said


# Memory


@pytest.mark.parametrize(
    "fault",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5000000000 bytes")],
)
def test_a_lack_of_memory_is_one_sentence(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: object) -> None:
        raise fault

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["info"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory: ")
    assert said.count("\n") == 1
    assert "bug" not in said


def test_voxels_of_another_size_than_any(
    images: dict[str, Path],
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rescaled: Callable[[Path, Path, float], Path],
) -> None:
    """A real patient with voxels of 5 mm in place of 1 mm took 7.9 GB and ended in a traceback; 100 mm gave 297 l."""
    for factor in (10.0, 1e-3):
        changed = {channel: rescaled(path, tmp_path / f"{factor:g}", factor) for channel, path in images.items()}
        said = refused(segment_words(changed, tiny_model, tmp_path / "out"), capsys)
        assert "mm, but 0.1 to 20 mm are possible; correct the header" in said


@pytest.fixture
def rescaled() -> Callable[[Path, Path, float], Path]:
    """A function that copies an image and makes its voxels larger."""
    import nibabel as nib
    import numpy as np

    def write(path: Path, folder: Path, factor: float) -> Path:
        folder.mkdir(exist_ok=True)
        image = nib.load(path)
        affine = image.affine @ np.diag([factor, factor, factor, 1])
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), affine), folder / path.name)
        return folder / path.name

    return write


def test_too_little_memory_for_the_process(images: dict[str, Path], tiny_model: Path, tmp_path: Path) -> None:
    """As where a shell's ulimit or a scheduler sets a limit."""
    words = segment_words(images, tiny_model, tmp_path / "out")
    environment = os.environ | {"TUNETSEG_MEMORY_GB": "0.0001", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "tunetseg", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "of memory; this machine has" in done.stderr
    assert done.stderr.count("\n") <= 2
    assert not list((tmp_path / "out").glob("*.json"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_too_little_address_space_is_said_before_the_libraries_are_loaded() -> None:
    """OpenBLAS waited for ever in 0.3 GB."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))

    done = subprocess.run(
        [sys.executable, "-m", "tunetseg", "segment", "PATIENT", "--out", "OUT"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: this process may use 0.3 GB of memory (ulimit -v or -d)")


def test_the_manifest_is_json_whatever_the_name(
    images: dict[str, Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(segment_words(images, tiny_model, tmp_path, "--name", 'a"b é')) == 0
    assert json.loads((tmp_path / 'a"b é.json').read_text())["case"] == 'a"b é'
