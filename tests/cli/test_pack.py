"""``tunet pack``, from a cohort to a pack that is read back."""

from pathlib import Path

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets.phantom import write_cohort
from tunetseg.preparation.pack import Pack

TINY = {"shape": (24, 24, 16), "spacing": 10.0}


def packed(cohort: Path, out: Path, *options: str) -> int:
    return main(["pack", str(cohort), "--spacing", "10", "--out", str(out), *options])


def test_a_cohort_becomes_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cohort(tmp_path / "cohort", cases=2, dataset="brats2019", **TINY)
    write_cohort(tmp_path / "cohort", cases=3, dataset="brats2023", **TINY)
    assert packed(tmp_path / "cohort", tmp_path / "pack", "--denoise") == 0
    assert ": 5 case(s) at 10 mm in 1 file(s), 0.0 MB" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "pack").iterdir()] == ["part-1-of-1.tunetpack"]
    pack = Pack(tmp_path / "pack")
    assert len(pack.cases) == 5
    assert pack.settings.denoise
    assert pack.description.name == "brats2023"
    # Another pack is not written over it.
    assert packed(tmp_path / "cohort", tmp_path / "pack") == 2
    assert "holds a pack already" in capsys.readouterr().err


def test_kits_and_a_cache_that_is_kept(tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort", cases=1, dataset="kits19")
    assert packed(tmp_path / "cohort", tmp_path / "pack", "--cache", str(tmp_path / "cache"), "--workers", "1") == 0
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1
    (case,) = (pack := Pack(tmp_path / "pack")).cases
    assert (case.id, case.patient) == ("case_00000", "kits/00000")
    assert pack.description.channel_names == ("ct",)
    assert pack.get(case).nesting.max() == 2


def test_a_broken_case_stops_it_or_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = write_cohort(tmp_path / "cohort", cases=2, **TINY)
    next(first.glob("*_t2.nii.gz")).write_bytes(b"damaged")
    assert packed(tmp_path / "cohort", tmp_path / "a") == 2
    assert "_t2.nii.gz" in capsys.readouterr().err
    assert packed(tmp_path / "cohort", tmp_path / "b", "--skip-broken") == 0
    said = capsys.readouterr()
    assert "left out: " in said.err
    assert ": 1 case(s)" in said.out
    assert len(Pack(tmp_path / "b").cases) == 1


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--part-size", "0"], "--part-size 0: must be more than 0 MB"),
        (["--workers", "0"], "--workers 0: must be 1 or more"),
        (["--dataset", "kits19"], "no case found"),
        (["--part-size", "0.001"], "choose a larger part size"),
    ],
)
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], fault: str) -> None:
    write_cohort(tmp_path / "cohort", cases=1, **TINY)
    assert packed(tmp_path / "cohort", tmp_path / "pack", *options) == 2
    assert fault in " ".join(capsys.readouterr().err.split())


def test_cohorts_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cohort(tmp_path / "cohort", cases=1, **TINY)
    write_cohort(tmp_path / "cohort", cases=1, dataset="kits19")
    assert packed(tmp_path / "cohort", tmp_path / "pack") == 2
    assert "their channels or regions differ" in " ".join(capsys.readouterr().err.split())
