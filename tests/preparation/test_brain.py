"""Programs that find the brain: detected, named, never downloaded."""

import sys
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.io import Image, image_from_array
from tunetseg.preparation.brain import find_extractor, installed_extractors

if sys.platform == "win32":
    pytest.skip("the stand-ins are shell scripts", allow_module_level=True)


@pytest.fixture(autouse=True)
def nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "deepbet", None)
    monkeypatch.setattr("tunetseg.preparation.brain.find_spec", sys.modules.get)


@pytest.fixture
def head() -> Image:
    array = np.zeros((8, 9, 10), np.float32)
    array[2:6, 2:7, 2:8] = 5
    return image_from_array(array, spacing=2)


def command(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "bin" / name
    path.write_text(f"#!{sys.executable}\nimport sys, shutil\nwords = sys.argv\n{text}\n")
    path.chmod(0o755)


def test_nothing(head: Image) -> None:
    assert installed_extractors() == []
    with pytest.raises(
        InputError, match="no brain extraction is installed; install one of hd-bet, synthstrip, deepbet"
    ):
        find_extractor()
    with pytest.raises(InputError, match="unknown brain extraction 'bet'; choose from hd-bet"):
        find_extractor("bet")
    with pytest.raises(InputError, match="synthstrip is not installed, or give a mask"):
        find_extractor("synthstrip")


def test_hd_bet_is_not_used_before_it_has_its_weights(tmp_path: Path, head: Image) -> None:
    command(tmp_path, "hd-bet", "shutil.copy(words[2], words[4].replace('.nii.gz', '_bet.nii.gz'))")
    with pytest.raises(InputError, match="hd-bet is not installed completely; run it once by hand"):
        find_extractor("hd-bet")
    weights = tmp_path / "hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    found = find_extractor()
    assert found.title.startswith("HD-BET")
    assert np.array_equal(found(head), head.array > 0)


def test_synthstrip(tmp_path: Path, head: Image) -> None:
    command(tmp_path, "mri_synthstrip", "shutil.copy(words[2], words[4])")
    (found,) = installed_extractors()
    assert (found.name, found.title) == ("synthstrip", "SynthStrip")
    assert np.array_equal(found(head), head.array > 0)


def test_deepbet(monkeypatch: pytest.MonkeyPatch, head: Image) -> None:
    module = ModuleType("deepbet")

    def run_bet(paths: list[str], mask_paths: list[str], **_: object) -> None:
        image = nib.load(paths[0])
        nib.save(nib.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), image.affine), mask_paths[0])

    module.run_bet = run_bet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepbet", module)
    assert np.array_equal(find_extractor("deepbet")(head), head.array > 0)


@pytest.mark.parametrize("text", ["sys.exit('out of luck')", "pass"])
def test_a_program_that_fails(text: str, tmp_path: Path, head: Image) -> None:
    command(tmp_path, "mri_synthstrip", text)
    with pytest.raises(InputError, match=r"SynthStrip found no brain \(.*(out of luck|no such file)\); give a mask"):
        find_extractor()(head)
