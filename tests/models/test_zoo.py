"""Models by name and by path."""

import shutil
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.models import zoo
from tunetseg.models.companion import onnx_file
from tunetseg.models.store import read_spec
from tunetseg.models.zoo import DEFAULT, find_models, packaged_models


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three models, of which the default is neither the first nor the last by name."""
    folder = tmp_path / "packaged"
    for name in ("aaa/model", "robust/model", "zzz/fold0", "zzz/fold1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.safetensors").touch()
    monkeypatch.setattr(zoo, "_FOLDER", folder)
    return folder


def test_the_packaged_model_is_whole() -> None:
    assert find_models() == packaged_models()[DEFAULT]
    assert len(find_models(["fast"])) == 1
    for paths in packaged_models().values():
        assert (paths[0].parent / "CARD.md").is_file()
        for path in paths:
            spec = read_spec(path)
            assert spec.dataset == read_spec(paths[0]).dataset
            assert spec.dataset.channel_names == ("t1", "t1ce", "flair", "t2")
            assert onnx_file(path).stat().st_size < 200_000, "the weights are stored once"


def test_no_patient_is_unseen_by_two_of_the_folds() -> None:
    unseen = [case for path in find_models() for case in read_spec(path).training["unseen"]]
    assert len(unseen) == len({*unseen}) == 87


def test_another_packaged_model_does_not_change_the_default(packaged: Path) -> None:
    assert list(packaged_models()) == ["aaa", "robust", "zzz"]
    assert find_models() == (packaged / "robust/model.safetensors",)
    shutil.rmtree(packaged / "robust")
    with pytest.raises(InputError, match="model 'robust': not a packaged model"):
        find_models()


def test_a_packaged_model_of_several_files(packaged: Path) -> None:
    assert [path.stem for path in find_models(["zzz", "aaa"])] == ["fold0", "fold1", "model"]


def test_one_file_of_a_packaged_model(packaged: Path) -> None:
    assert find_models(["zzz/fold1"]) == (packaged / "zzz/fold1.safetensors",)
    assert list(packaged_models()) == ["aaa", "robust", "zzz"]
    with pytest.raises(InputError, match=r"not a packaged model \(aaa, robust, zzz, zzz/fold0, zzz/fold1\)"):
        find_models(["zzz/fold2"])


def test_files_and_run_folders(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / zoo.MODEL
    path.touch()
    assert find_models([path, str(tmp_path / "run")]) == (path, path)


@pytest.mark.parametrize("name", ["nothing", "/nowhere/model.safetensors", "."])
def test_a_model_that_is_not_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"not a packaged model \(fast, robust, .*robust/fold-4\), not a file, and not a run folder"
    ):
        find_models([name])


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / zoo.MODEL).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the name of the model is empty"):
        find_models([""])


def test_a_folder_named_like_a_packaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packaged,) = find_models(["fast"])
    shutil.copytree(packaged.parent, tmp_path / packaged.parent.name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"write \./fast for the folder"):
        find_models(["fast"])
    assert find_models(["./fast"]) == (Path("fast/model.safetensors"),)
    shutil.copytree(packaged.parent, tmp_path / "robust/fold-0")
    with pytest.raises(InputError, match=r"write \./robust/fold-0 for the folder"):
        find_models(["robust/fold-0"])


def test_a_name_that_is_too_long_for_a_file() -> None:
    """It was an OSError of a file that nobody named."""
    with pytest.raises(InputError, match="not a packaged model"):
        find_models(["n" * 5000])
