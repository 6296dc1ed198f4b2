"""Named training configurations. Light: no torch is imported here."""

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tunetseg.errors import InputError

__all__ = ["RECIPES", "Augmentation", "Recipe", "Stage", "recipe_from_dict", "recipe_named"]


@dataclass(frozen=True)
class Augmentation:
    """Random changes to each training patch.

    Args:
        paste: Probability that another patient's tumour, with a little of what surrounds it, is laid over the patch.
        flip: Probability of a mirror flip along x, y, z.
        rotation: Largest angle in degrees about x, y, z.
        scale: Largest relative change of size: 0.1 is 90 to 110 %.
        tumour: Largest logarithm of the factor by which the tumour's difference from the rest of the brain is
            multiplied, a region and channel.
        shift: Largest change of brightness, in standard deviations of the brain.
        contrast: Largest relative change of contrast, a channel.
        gamma: Largest change of the logarithm of gamma, a channel.
        bias_field: Largest logarithm of a smooth multiplicative field, a channel.
        noise: Largest standard deviation of added noise, in standard deviations of the brain.
        blur: Probability that a channel is shown coarser, by a factor of 1 to 3 along each axis.
        drop: Probability that one channel is blank.
        intensity: Probability that the changes of intensity above are applied to a patch.
    """

    paste: float = 0.0
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 0.0
    tumour: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    bias_field: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    drop: float = 0.0
    intensity: float = 1.0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        _check(self)


_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("paste", "flip", "drop", "blur", "intensity", "contrast", "tumour_share"), (0, 1)),
    **dict.fromkeys(("samples_per_case", "batch", "epochs", "validate_every", "patch"), (1, math.inf)),
    **dict.fromkeys(("base_filters", "levels", "plateau_patience"), (1, math.inf)),
    **dict.fromkeys(("warmup", "stop_patience", "learning_rate", "l2", "cross_entropy"), (0, math.inf)),
    **dict.fromkeys(("shift", "noise", "gamma", "bias_field", "tumour"), (0, 10)),
    "rotation": (0, 180),
    "scale": (0, 0.9),
    "spacing": (0.2, 20),
    "plateau_factor": (0, 0.99),
    "folds": (2, math.inf),
    "seed": (0, 2**32 - 1),
    "average": (0, 0.99999),
    "final_rate": (0, 1),
}
"""Least and largest value of every number in a recipe, each side of what has three."""


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    (int,) * 3: "a list of three whole numbers",
    (float,) * 3: "a list of three numbers",
}


def _check(settings: Any) -> None:
    """Raise InputError where a field is not of its type or not in its range; files, unlike flags, can hold anything."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        parts = get_args(hint)
        if get_origin(hint) is Literal:
            if value not in parts:
                raise InputError(f"recipe: {name} is {value!r}; it can be {', '.join(parts)}")
        elif get_origin(hint) is not tuple:
            _check_value(name, value, hint)
        elif not isinstance(value, tuple) or (len(value) != len(parts) and parts[-1] is not Ellipsis):
            raise InputError(f"recipe: {name} is {value!r}, where {_WORDS.get(parts, 'a list')} is needed")
        else:
            for one in value:
                _check_value(name, one, parts[0])


def _check_value(name: str, value: Any, kind: Any) -> None:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"recipe: {name} is {value!r}, where {_WORDS.get(kind, kind.__name__)} is needed")
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    if kind in {int, float} and not (math.isfinite(value) and low <= value <= high):
        bound = f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:.10g}"
        raise InputError(f"recipe: {name} is {value!r}; it must be {bound}")


@dataclass(frozen=True)
class Stage:
    """One stretch of training; a later stage starts from the weights of the one before.

    Args:
        spacing: Working spacing in mm.
        patch: Voxels shown at once, along x, y, z.
        whole_volume: The patch holds whole brains, padded to it: of a larger one training shows a random part, but
            for validation and use the window grows.
        sampling: ``grid`` shows every patch of a grid that covers the brain, an epoch; ``random`` draws.
        samples_per_case: Patches a case and epoch, where sampling is random.
        tumour_share: Share of the random patches that are centred on a tumour voxel, of a region drawn evenly, as
            nearly as the volume's edge allows.
        batch: Patches a step.
        epochs: Epochs at most.
        learning_rate: Adam's, at its peak.
        schedule: ``plateau`` lowers it when the validation loss stalls; ``cosine`` lets it fall along half a wave.
        warmup: Steps of linear rise before ``cosine``.
        final_rate: Share of the peak that ``cosine`` ends at.
        plateau_factor: What a plateau multiplies it by.
        plateau_patience: Epochs without improvement before it does.
        stop_patience: Epochs without improvement before training ends; 0: never.
        validate_every: Epochs between two validations.
        augmentation: Random changes.
    """

    spacing: float = 1.0
    patch: tuple[int, int, int] = (80, 96, 64)
    whole_volume: bool = False
    sampling: Literal["grid", "random"] = "random"
    samples_per_case: int = 1
    tumour_share: float = 0.0
    batch: int = 4
    epochs: int = 200
    learning_rate: float = 1e-4
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup: int = 0
    final_rate: float = 0.01
    plateau_factor: float = 0.2
    plateau_patience: int = 6
    stop_patience: int = 15
    validate_every: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Check what would otherwise fail late, or be taken for something else."""
        _check(self)
        if self.validate_every > 1 and self.schedule == "plateau":
            raise InputError("recipe: the plateau schedule watches the validation loss, so validate_every must be 1")


@dataclass(frozen=True)
class Recipe:
    """All choices of a training; the variant, the fold and the cohort are not among them.

    Args:
        name: What it is called.
        base_filters: Filters of the first level.
        levels: Resolutions of each sub-network.
        folds: Cross-validation folds.
        seed: Of the folds, the weights, the order and the augmentation; the last two also follow from the weights that
            a run goes on from.
        denoise: Median filter first.
        l2: Penalty on the sum of squares of the convolution kernels, heads left out.
        cross_entropy: Weight of the added cross-entropy.
        head_bias: Logit that the heads start at; below 0 says that tumour is rare, which starts Dice sooner.
        average: Decay of the running average of the weights, which is what is kept; 0: none.
        precision: ``bf16`` where the hardware has it under ``auto``.
        keep: Weights of the lowest validation loss, or the last.
        stages: One or several.
    """

    name: str = "custom"
    base_filters: int = 16
    levels: int = 4
    folds: int = 5
    seed: int = 0
    denoise: bool = False
    l2: float = 1e-5
    cross_entropy: float = 0.0
    head_bias: float = 0.0
    average: float = 0.0
    precision: Literal["auto", "bf16", "32"] = "auto"
    keep: Literal["best", "last"] = "best"
    stages: tuple[Stage, ...] = (Stage(),)

    @property
    def title(self) -> str:
        """Its name, with a word more where the packaged recipe of that name has other settings."""
        return self.name if RECIPES.get(self.name, self) == self else f"{self.name}, changed"

    def __post_init__(self) -> None:
        """Check that there is a stage and that the patches can be halved often enough."""
        _check(self)
        if not self.stages:
            raise InputError(f"recipe {self.name}: has no stage")
        stride = 2 ** (self.levels - 1)
        for stage in self.stages:
            if any(side % stride for side in stage.patch):
                raise InputError(f"recipe {self.name}: patch {stage.patch} has a side that is no multiple of {stride}")
            if math.prod(stage.patch) <= stride**3:
                # Instance normalisation needs two values.
                raise InputError(f"recipe {self.name}: patch {stage.patch} is a single voxel at the lowest level")


# Scanners differ more than patients do: some FLAIR images hardly show the oedema, some T1 have thick slices. Without
# the wide ranges here the one patient of fold 0 with thick slices was missed.
_WHOLE_BRAIN = Augmentation(
    flip=(0.5, 0.0, 0.0),
    rotation=(10, 10, 15),
    scale=0.12,
    shift=0.3,
    contrast=0.3,
    gamma=0.4,
    bias_field=0.3,
    noise=0.15,
    blur=0.25,
    drop=0.1,
    intensity=0.8,
)

# For training that is long enough to learn its few patients by heart: their tumours paler and plainer, and in other
# patients' brains.
_VARIED = dataclasses.replace(_WHOLE_BRAIN, paste=0.3, tumour=0.6, noise=0.1, blur=0.15, drop=0.05)


def _whole_brain(
    *,
    spacing: float,
    patch: tuple[int, int, int],
    epochs: int,
    learning_rate: float,
    final_rate: float = 0.01,
    augmentation: Augmentation = _WHOLE_BRAIN,
) -> Stage:
    return Stage(
        spacing=spacing,
        patch=patch,
        whole_volume=True,
        batch=1,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule="cosine",
        warmup=50,
        final_rate=final_rate,
        stop_patience=0,
        validate_every=5,
        augmentation=augmentation,
    )


def _where_and_what(*, epochs: int) -> tuple[Stage, Stage]:
    """Where tumours are, at 3 mm, where a step costs a third; then, at 2 mm, what they look like."""
    return (
        _whole_brain(
            spacing=3.0,
            patch=(48, 64, 48),
            epochs=60,
            learning_rate=1.5e-3,
            final_rate=0.2,
            augmentation=dataclasses.replace(_VARIED, paste=0.0),
        ),
        _whole_brain(
            spacing=2.0,
            patch=(72, 88, 72),
            epochs=epochs,
            learning_rate=1.2e-3,
            final_rate=0.2,
            augmentation=_VARIED,
        ),
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # The paper's, number for number (2.2, 2.5, 3.1). Its rotation is in the axial plane and its flip along x.
        # The grid is its author's earlier code's; it covers the brain at 1 mm, where that code first stretched
        # each brain to 160x192x128.
        Recipe(
            name="paper",
            precision="32",
            stages=(
                Stage(
                    sampling="grid",
                    augmentation=Augmentation(flip=(0.5, 0.0, 0.0), rotation=(0.0, 0.0, 1.0)),
                ),
            ),
        ),
        # Whole brains (of the largest, all but a few voxels of the rim), first at 4 and 3 mm, where a step costs a
        # tenth and a third and the tumour's place is learned, then at 2 mm. Under an hour on two cores with bf16.
        Recipe(
            name="quick",
            base_filters=8,
            cross_entropy=1.0,
            head_bias=-3.0,
            average=0.99,
            keep="last",
            stages=(
                _whole_brain(spacing=4.0, patch=(40, 48, 40), epochs=12, learning_rate=2e-3),
                _whole_brain(spacing=3.0, patch=(48, 64, 48), epochs=36, learning_rate=1.5e-3),
                _whole_brain(spacing=2.0, patch=(72, 88, 72), epochs=14, learning_rate=1.2e-3),
            ),
        ),
        # The same way, three times as far. The rate stays above a fifth of its peak; in a last stage where it fell on,
        # less tumour was found. Half the cross-entropy is meant to find more, which was not measured by itself.
        Recipe(
            name="narrow",
            base_filters=8,
            cross_entropy=0.5,
            head_bias=-3.0,
            average=0.998,
            keep="last",
            stages=(
                _whole_brain(spacing=4.0, patch=(40, 48, 40), epochs=12, learning_rate=2e-3, final_rate=0.2),
                *_where_and_what(epochs=45),
                *_where_and_what(epochs=60),
                *_where_and_what(epochs=60),
            ),
        ),
        # Goes on from a model's weights (--pretrained), as often as one likes.
        Recipe(
            name="refine",
            base_filters=8,
            cross_entropy=1.0,
            head_bias=-3.0,
            average=0.998,
            keep="last",
            stages=(
                _whole_brain(spacing=3.0, patch=(48, 64, 48), epochs=60, learning_rate=1.5e-3, augmentation=_VARIED),
                _whole_brain(spacing=2.0, patch=(72, 88, 72), epochs=58, learning_rate=1.2e-3, augmentation=_VARIED),
            ),
        ),
    )
}


def _build(kind: type, raw: Any, place: str) -> Any:
    """Dataclass from plain data, every unknown key an error."""
    if not isinstance(raw, dict):
        raise InputError(f"{place}: is {raw!r}, where fields with values are needed")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise InputError(f"{place}: no field {unknown[0]!r}; there are {', '.join(fields)}")
    values = dict(raw)
    if isinstance(values.get("stages"), list):
        values["stages"] = tuple(
            _build(Stage, stage, f"{place}, stage {n}") for n, stage in enumerate(values["stages"])
        )
    if "augmentation" in values:
        values["augmentation"] = _build(Augmentation, values["augmentation"], f"{place}, augmentation")
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except InputError as fault:
        raise InputError(str(fault).replace("recipe:", f"{place}:", 1)) from None


def recipe_from_dict(raw: dict[str, Any], source: str = "recipe") -> Recipe:
    """Recipe from plain data, as a run folder's ``recipe.json`` holds it; fields left out keep their defaults."""
    return _build(Recipe, raw, source)


def recipe_named(name: str | Path) -> Recipe:
    """A packaged recipe by name, or one from a ``.json`` or ``.toml`` file.

    Raises:
        InputError: No such recipe or file, or a file with unknown fields.
    """
    if str(name) in RECIPES:
        return RECIPES[str(name)]
    path = Path(name)
    if path.suffix not in {".json", ".toml"}:
        raise InputError(f"recipe {str(name)!r}: there are {', '.join(RECIPES)}, or name a .json or .toml file")
    try:
        text = path.read_text()
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError:
        raise InputError(f"{path}: there is no such recipe file") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid {path.suffix[1:]} ({error})") from None
    return recipe_from_dict(raw, str(path))
