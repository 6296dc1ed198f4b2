"""What a recipe can say, and reading one from TOML or JSON. Light: torch is not imported here."""

import json
import re
import reprlib
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from tunetseg.errors import InputError
from tunetseg.io.bounded import parse_json, read_text, read_toml
from tunetseg.limits import check_patch
from tunetseg.training.augmentation import Augmentation, Probability

__all__ = ["Recipe", "Stage", "find_recipe", "recipe_from_dict", "recipe_names", "recipe_to_dict"]

Count = Annotated[int, Meta(ge=0, le=2**31)]
Positive = Annotated[int, Meta(ge=1, le=2**31)]
NotNegative = Annotated[float, Meta(ge=0, le=1e6)]


class Stage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of a training; each stage starts from the weights of the one before.

    Args:
        spacing: Working spacing in mm.
        patch_size: Voxels of a training patch along x, y, z.
        whole_volume: A patch holds a whole case, padded to the patch size. Of a larger case, training sees a random
            part; validation and inference see all of it at once.
        sampling: ``grid`` shows every patch of a grid over each case once per epoch; ``random`` draws patches.
        samples_per_case: Patches per case and epoch with random sampling.
        foreground_probability: Probability that a random patch is centred on a voxel of a region, the region drawn
            evenly, as far as the edge of the volume allows.
        batch_size: Patches per optimiser step, over all devices together.
        epochs: Largest number of epochs.
        learning_rate: Peak learning rate of Adam.
        schedule: ``plateau`` lowers the learning rate when the validation loss stalls; ``cosine`` lowers it along half
            a cosine.
        warmup_steps: Steps of linear increase at the start of ``cosine``.
        min_lr_ratio: Learning rate at the end of ``cosine``, relative to its peak.
        plateau_factor: Factor by which a plateau multiplies the learning rate.
        plateau_patience: Epochs without improvement before that.
        early_stopping_patience: Epochs without improvement before the stage ends; 0 never ends it.
        validate_every: Epochs between validations. The end of a stage is always validated.
        augmentation: Random changes of training patches.
    """

    spacing: Annotated[float, Meta(ge=0.2, le=20)] = 1.0
    patch_size: tuple[Positive, Positive, Positive] = (80, 96, 64)
    whole_volume: bool = False
    sampling: Literal["grid", "random"] = "random"
    samples_per_case: Positive = 1
    foreground_probability: Probability = 0.0
    batch_size: Positive = 4
    epochs: Positive = 200
    learning_rate: Annotated[float, Meta(ge=0, le=100)] = 1e-4
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup_steps: Count = 0
    min_lr_ratio: Probability = 0.01
    plateau_factor: Annotated[float, Meta(ge=0, le=0.99)] = 0.2
    plateau_patience: Positive = 6
    early_stopping_patience: Count = 15
    validate_every: Positive = 1
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        """Check what the types of single fields cannot say."""
        check_patch(self.patch_size)
        if self.validate_every > 1 and self.schedule == "plateau":
            raise ValueError(
                "the plateau schedule needs the validation loss of each epoch, so validate_every must be 1"
            )


class Recipe(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All choices of a training except network, fold and cohort.

    Args:
        name: Name shown in logs and stored in the model.
        suggested_options: Options of the network, used where the network has them and the run does not set them.
        folds: Number of cross-validation folds.
        seed: Seed of folds, initial weights, order of samples and augmentation. With pretrained weights the last two
            also depend on those weights.
        denoise: Apply a median filter of 3x3x3 voxels before normalisation.
        l2: Penalty on the sum of squares of the convolution kernels.
        bce_weight: Weight of the binary cross-entropy that is added to the soft Dice loss.
        prior_logit: Logit that the networks' outputs start at. A negative one says that foreground is rare, which gives
            the Dice loss a faster start.
        ema_decay: Decay of the exponential moving average of the weights, which is then what is validated and kept;
            0 switches it off.
        precision: ``auto`` uses ``bf16`` where the hardware supports it.
        keep: Keep the weights with the lowest validation loss (``best``) or the last ones.
        stages: The stages of training, in order.
    """

    name: str = "custom"
    suggested_options: dict[str, bool | int | float | str] = {}
    folds: Annotated[int, Meta(ge=2, le=1000)] = 5
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    denoise: bool = False
    l2: NotNegative = 1e-5
    bce_weight: NotNegative = 0.0
    prior_logit: Annotated[float, Meta(ge=-30, le=30)] = 0.0
    ema_decay: Annotated[float, Meta(ge=0, le=0.99999)] = 0.0
    precision: Literal["auto", "bf16", "32"] = "auto"
    keep: Literal["best", "last"] = "best"
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)] = (Stage(),)

    @property
    def title(self) -> str:
        """The name, marked as changed where the packaged recipe of that name has other settings."""
        if self.name in recipe_names() and find_recipe(self.name) != self:
            return f"{self.name}, changed"
        return self.name


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package.

    Examples:
        >>> "quick" in recipe_names()
        True
    """
    files = resources.files("tunetseg.training").joinpath("packaged").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def find_recipe(name: str | Path) -> Recipe:
    """Return a packaged recipe by name, or one from a ``.toml`` or ``.json`` file.

    Raises:
        InputError: Unknown name, missing file, or a file with an invalid or unknown field.

    Examples:
        >>> find_recipe("paper").stages[0].batch_size
        4
    """
    return _packaged(str(name)) if str(name) in recipe_names() else recipe_from_dict(_read(Path(name)), str(name))


@cache
def _packaged(name: str) -> Recipe:
    return recipe_from_dict(_packaged_text(name), f"{name}.toml")


def _packaged_text(name: str) -> dict[str, Any]:
    file = resources.files("tunetseg.training").joinpath("packaged", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _read(path: Path) -> dict[str, Any]:
    if path.suffix not in {".json", ".toml"}:
        names = ", ".join(recipe_names())
        raise InputError(f"unknown recipe {str(path)!r}; choose from {names}, or give a .toml or .json file")
    if path.suffix == ".toml":
        return read_toml(path)
    try:
        return parse_json(read_text(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: invalid JSON ({error})") from None


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain data for JSON or TOML, every field written out."""
    return json.loads(msgspec.json.encode(recipe))


def recipe_from_dict(raw: Any, source: str = "recipe") -> Recipe:
    """Return a recipe from plain data, as a TOML file or a run folder's ``recipe.json`` holds it.

    Two keys exist only in such data: ``extends`` names a packaged recipe whose values apply where ``raw`` has none, and
    ``defaults`` holds values for every stage that does not set them itself. Fields that are left out otherwise have
    the defaults of [Recipe][tunetseg.training.Recipe] and [Stage][tunetseg.training.Stage], which are the paper's.

    Args:
        raw: Nested dictionaries and lists.
        source: What error messages call the data, usually the name of a file.

    Raises:
        InputError: A field is unknown, missing or invalid; the message names it by its path.

    Examples:
        >>> recipe_from_dict({"extends": "quick", "folds": 10}).folds
        10
    """
    complete = _with_defaults(_with_base(raw, source))
    try:
        recipe = msgspec.convert(complete, Recipe)
    except msgspec.ValidationError as error:
        raise InputError(f"{source}: {_explain(str(error), complete)}") from None
    return recipe


def _with_base(raw: Any, source: str) -> Any:
    if not isinstance(raw, dict) or "extends" not in raw:
        return raw
    raw = dict(raw)
    base = raw.pop("extends")
    if base not in recipe_names():
        raise InputError(
            f"{source}: extends: unknown recipe {reprlib.repr(base)}; choose from {', '.join(recipe_names())}"
        )
    return _merged(_with_base(_packaged_text(base), base) | {"name": "custom"}, raw)


def _with_defaults(raw: Any) -> Any:
    if not isinstance(raw, dict) or not isinstance(raw.get("defaults"), dict):
        return raw
    raw = dict(raw)
    defaults = raw.pop("defaults")
    stages = raw.get("stages", [{}])
    if isinstance(stages, list):
        raw["stages"] = [_merged(defaults, stage) if isinstance(stage, dict) else stage for stage in stages]
    return raw


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return ``above`` laid over ``below``: tables are merged, everything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a table of fields",
}


def _explain(message: str, raw: Any) -> str:
    """Return one sentence for a validation error of msgspec: path, value, and what is allowed there."""
    what, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    inside = f"{path}." if path else ""
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        return f"{inside}{match[1]} is not a field; choose from {', '.join(get_type_hints(_type_at(path)))}"
    if match := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"{inside}{match[1]} is missing"
    allowed = _allowed(what, path)
    place = path or "the recipe"
    return f"{place} is {reprlib.repr(_value_at(raw, path))}; must be {allowed}" if allowed else f"{place}: {what}"


def _allowed(what: str, path: str) -> str | None:
    """Return what a value must be, from msgspec's words; None where they are not about one value."""
    if match := re.fullmatch(r"Expected `\w+` (>=|<=) (\S+)", what):
        return f"{float(match[2]):.10g} or {'more' if match[1] == '>=' else 'less'}"
    if match := re.fullmatch(r"Expected `array` of length (>= )?(\d+).*", what):
        return f"a list of length {match[2]}{' or more' if match[1] else ''}"
    if what.startswith("Invalid enum value"):
        return f"one of {', '.join(map(str, get_args(_type_at(path))))}"
    if match := re.fullmatch(r"Expected `([^`]+)`.*", what):
        return " or ".join(_KINDS.get(kind.strip(), kind.strip()) for kind in match[1].split("|"))
    return None


def _steps(path: str) -> list[str]:
    return re.findall(r"[^.\[\]]+|\[\.\.\.\]", path)


def _value_at(raw: Any, path: str) -> Any:
    """Return the value at a path such as ``stages[1].batch_size``."""
    for step in _steps(path):
        if isinstance(raw, list) and step.isdecimal():
            raw = raw[int(step)]
        elif isinstance(raw, dict) and step in raw:
            raw = raw[step]
    return raw


def _type_at(path: str) -> Any:
    """Return the annotated type at a path."""
    kind: Any = Recipe
    for step in _steps(path):
        if step.isdecimal():
            kind = get_args(kind)[0]
        elif isinstance(kind, type) and issubclass(kind, Struct):
            kind = get_type_hints(kind)[step]
    return kind
