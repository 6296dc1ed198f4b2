"""``tunet demo``."""

from typing import Literal

from tunetseg.cli.options import OutPath

__all__ = ["demo"]


def demo(
    *,
    out: OutPath,
    seed: int = 0,
    engine: Literal["auto", "openvino", "onnxruntime", "torch"] = "auto",
    device: str = "auto",
) -> None:
    """Make the embedded synthetic patient, segment it with the default model, and score the result.

    Args:
        out: Folder of the patient and the results.
        seed: Another seed makes another patient.
        engine: What runs the network: auto is PyTorch on a GPU, else OpenVINO, which needs no PyTorch.
        device: auto, cpu, cuda or mps.
    """
    from tunetseg.cli.console import line_console, table_console
    from tunetseg.cli.patients import Wanted, segment_patients
    from tunetseg.cli.tables import print_scores
    from tunetseg.datasets import find_cases
    from tunetseg.datasets.phantom import make_patient, write_patient
    from tunetseg.errors import InputError
    from tunetseg.evaluation.evaluate import evaluate
    from tunetseg.inference.predictor import load_model
    from tunetseg.io.files import make_folder

    if seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more")
    model = load_model(engine=engine, device=device)
    make_folder(out)
    console = line_console()
    console.print(f"making a synthetic patient of 240x240x155 voxels from seed {seed}")
    patient = write_patient(make_patient(seed), out / "patient")
    segment_patients(find_cases(patient), out / "segmentation", model, Wanted(picture=True))
    scores = evaluate(out / "segmentation", out / "patient", rules="brats2020")
    print_scores(table_console(), scores)
    scores.save(out / "scores.csv")
    console.print(f"Patient: {patient}\nPicture: {out / 'segmentation' / patient.name}.png")
    console.print(f"Scores:  {out / 'scores.csv'}")
