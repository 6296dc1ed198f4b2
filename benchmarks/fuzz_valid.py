"""Small valid inputs of every kind, which `fuzz.py` damages."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tunetseg.datasets import find_cases, find_description
from tunetseg.datasets.phantom import write_cohort
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.io import read_image
from tunetseg.preparation import Preprocessing
from tunetseg.preparation.cache import Cache
from tunetseg.preparation.pack import write_pack
from tunetseg.training import TrainConfig
from tunetseg.training.planning import plan
from tunetseg.training.recipes import find_recipe, recipe_to_dict

__all__ = ["CHANNELS", "config", "prepare"]

CHANNELS = ("t1", "t1ce", "t2", "flair")


def prepare(folder: Path) -> None:
    """Write one valid input of every kind."""
    import torch

    from tunetseg.inference.cohort import segment_cases
    from tunetseg.inference.predictor import load_model
    from tunetseg.models.store import ModelSpec, save_model
    from tunetseg.networks import NetworkSpec, build_network
    from tunetseg.training.checkpoint import SafeCheckpoints

    write_cohort(folder / "cohort", cases=2, shape=(24, 24, 16), spacing=10.0)
    first = find_cases(folder / "cohort")[0]
    for channel in CHANNELS:
        shutil.copy(first.images[channel], folder / f"p_{channel}.nii.gz")
    shutil.copy(str(first.reference), folder / "seg.nii.gz")
    other = read_image(folder / "p_t1.nii.gz")
    kinds = {
        "other.mgz": nib.MGHImage,
        "other.img": nib.AnalyzeImage,
        "spm.img": nib.Spm99AnalyzeImage,
        "pair.img": nib.Nifti1Pair,
        "second.nii.gz": nib.Nifti2Image,
    }
    for name, kind in kinds.items():
        nib.save(kind(other.stored.from_lps(other.array), other.stored.affine), folder / name)
    _write_itk(folder)
    network = NetworkSpec("tunet", 4, ("whole", "core", "enhancing"), {"base_filters": 1, "levels": 2})
    spec = ModelSpec(network, Preprocessing(10.0), (24, 24, 16), True, find_description("brats2020"))
    torch.manual_seed(0)
    save_model(folder / "model.safetensors", build_network(network), spec)
    segmented = load_model(folder / "model.safetensors", device="cpu")
    for _ in segment_cases(find_cases(folder / "cohort"), segmented, out=folder / "results", probabilities=True):
        pass
    state = {"state_dict": {"a": torch.ones(40)}, "epoch": 3, "loops": [1, {"b": None}]}
    SafeCheckpoints().save_checkpoint(state, folder / "last.safetensors")
    recipe = recipe_to_dict(find_recipe("quick"))
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1))
    (folder / "recipe.toml").write_text(
        'extends = "quick"\nfolds = 2\nl2 = 1e-5\n[defaults]\nepochs = 3\nspacing = 10.0\n'
    )
    evaluate(folder / "cohort", folder / "cohort").save(folder / "scores.csv", tables=True)
    _write_descriptions(folder)
    cache = Cache(folder / "cache", Preprocessing(10.0), find_description("brats2020"))
    write_pack(find_cases(folder / "cohort"), folder / "pack", cache)
    _write_dicom(folder / "dicom")
    _write_run(folder)


def _write_itk(folder: Path) -> None:
    import SimpleITK

    array = np.arange(6 * 8 * 10, dtype=np.int16).reshape(6, 8, 10)
    image = SimpleITK.GetImageFromArray(array)
    for name in ("other.mha", "packed.mha", "two.mhd", "other.nrrd", "packed.nrrd", "two.nhdr"):
        SimpleITK.WriteImage(image, str(folder / name), name.startswith("packed"))


def _write_descriptions(folder: Path) -> None:
    (folder / "dataset.toml").write_text(
        'name = "mine"\nextends = "brats2020"\n[files]\ncase = "(?P<patient>.+)"\nreference = "{case}_seg"\n'
        '[files.channels]\nt1 = "{case}_t1"\nt1ce = "{case}_t1ce"\nt2 = "{case}_t2"\nflair = "{case}_flair"\n'
    )
    (folder / "rules.toml").write_text('threshold = 0.5\nmin_volume_region = "enhancing"\nmin_volume_mm3 = 500.0\n')
    (folder / "cases.txt").write_text("".join(f"{case.id}\n" for case in find_cases(folder / "cohort")))
    nnunet = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "whole": [1, 2], "core": [2]},
        "regions_class_order": [1, 2],
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (folder / "nnunet").mkdir()
    (folder / "nnunet/dataset.json").write_text(json.dumps(nnunet))
    table = "Grade,BraTS_2017_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
    for patient, case in zip(("AAB", "AAC"), find_cases(folder / "cohort"), strict=True):
        table += f"HGG,Brats17_CBICA_{patient}_1,BraTS19_CBICA_{patient}_1,{case.id}\n"
    (folder / "name_mapping.csv").write_text(table)


def _write_dicom(folder: Path) -> None:
    """Four series of six slices, as one would export them."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir()
    texts = {
        "t1": ("T1 SE", 10, 500),
        "t1ce": ("T1 SE +C", 10, 500),
        "t2": ("T2 TSE", 100, 4500),
        "flair": ("FLAIR", 120, 9000),
    }
    for number, (channel, (description, echo, repetition)) in enumerate(texts.items(), 1):
        for index in range(6):
            dataset = pydicom.Dataset()
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
            dataset.SOPInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{number}.{index}", f"1.2.3.{number}"
            dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.4"
            dataset.Modality, dataset.PatientName, dataset.PatientID = "MR", "Test^Fuzz", "1"
            dataset.SeriesNumber, dataset.InstanceNumber, dataset.SeriesDescription = number, index, description
            dataset.EchoTime, dataset.RepetitionTime, dataset.ImageType = echo, repetition, ["ORIGINAL", "PRIMARY"]
            if channel == "t1ce":
                dataset.ContrastBolusAgent = "agent"
            dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 10 * index]
            dataset.PixelSpacing, dataset.SliceThickness, dataset.Rows, dataset.Columns = [10, 10], 10, 8, 10
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = (
                1,
                "MONOCHROME2",
                0,
            )
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
            dataset.PixelData = (np.arange(80, dtype=np.uint16) * number + index).tobytes()
            dataset.save_as(folder / f"{channel}{index}.dcm", enforce_file_format=True)
    with zipfile.ZipFile(folder.parent / "dicom.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)


def config(folder: Path, **settings: Any) -> TrainConfig:
    """Return a tiny training of the valid cohort."""
    given = {"recipe": "quick", "cohort": str(folder / "cohort"), "out": str(folder / "run"), "network": "tunet"}
    options = {"base_filters": 1, "levels": 2}
    return TrainConfig(**{**given, "network_options": options, "cache": str(folder / "cache"), **settings})


def _write_run(folder: Path) -> None:
    """A run that is finished, so that resuming it reads what it has left and trains nothing."""
    run = plan(config(folder, recipe=str(folder / "recipe.toml")))
    (folder / "run").mkdir()
    (folder / "run/run.json").write_text(json.dumps(run.record | {"environment": {"threads": 3}}))
    (folder / "run/state.json").write_text('{"status": "running", "stage": 0, "stages": 1, "epoch": 2, "epochs": 4}')
    shutil.copy(folder / "model.safetensors", folder / "run/model.safetensors")
