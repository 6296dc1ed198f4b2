"""What the networks of a study cost: weights, operations, time and memory."""

from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tunetseg.inference.manifest import read_manifest
from tunetseg.models.store import ModelSpec, read_spec
from tunetseg.models.zoo import MODEL
from tunetseg.networks import build_network
from tunetseg.studies.plan import Model, StudyPlan
from tunetseg.studies.postprocessing import manifests
from tunetseg.studies.tasks import prediction_folder

__all__ = ["costs_of"]


def costs_of(plan: StudyPlan, study: Path) -> dict[str, dict[str, Any]]:
    """Return what each method costs.

    Returns:
        Method -> ``parameters``; ``gflops`` of a forward pass of one training patch, multiplications and additions
        counted apart; ``steps`` of a model's last stage; ``step_seconds`` and ``pass_seconds``, of a training step and
        a forward pass of that stage, as timed for a budget, else None; ``train_minutes`` of a model; ``case_seconds``
        to read and segment a case; ``memory_mb`` at the most while training. Means over folds.
    """
    return {method: _costs(plan, study, method, models) for method, models in plan.methods.items()}


def _costs(plan: StudyPlan, study: Path, method: str, models: tuple[Model, ...]) -> dict[str, Any]:
    specs = [read_spec(study / model.run / MODEL) for model in models]
    seconds = [read_manifest(path)["seconds"] for path in manifests(prediction_folder(study, method)).values()]
    training = [spec.training for spec in specs]
    steps, minutes = mean(facts["steps"] for facts in training), mean(facts["seconds"] for facts in training) / 60
    timing = plan.timings.get(method)
    return {
        "parameters": _parameters(specs[0]),
        "gflops": round(_operations(specs[0]) / 1e9, 2),
        "steps": round(steps),
        "step_seconds": None if timing is None else timing.step[-1],
        "pass_seconds": None if timing is None else timing.forward[-1],
        "train_minutes": round(minutes, 2),
        "case_seconds": round(mean(seconds), 2) if seconds else None,
        "memory_mb": round(mean(facts.get("memory_mb", 0) for facts in training)),
    }


def _parameters(spec: ModelSpec) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_network(spec.network).parameters())


def _operations(spec: ModelSpec) -> int:
    """Return the floating-point operations of one forward pass of a training patch; nothing is computed."""
    with torch.device("meta"):
        network = build_network(spec.network).eval()
        patch = torch.zeros(1, spec.network.in_channels, *spec.patch_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(patch)
    return counter.get_total_flops()
