"""Networks by name.

A network is registered with a factory that takes ``in_channels``, ``regions`` and its options as keywords with
defaults. PyTorch and other libraries are imported when a network is built, not to read what a model is.
"""

import importlib.util
import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunetseg.errors import InputError
from tunetseg.limits import LIMITS

if TYPE_CHECKING:
    from tunetseg.networks.cascade import Coupling
    from tunetseg.networks.protocol import SegmentationNetwork

__all__ = [
    "NetworkSpec",
    "build_network",
    "create_network",
    "missing_packages",
    "network_names",
    "network_options",
    "register",
]

Factory = Callable[..., "SegmentationNetwork"]


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    options: dict[str, Any]
    packages: tuple[str, ...]


_ENTRIES: dict[str, _Entry] = {}
_TITLES = {"monai": "MONAI"}


def register(name: str, *, packages: Iterable[str] = ()) -> Callable[[Factory], Factory]:
    """Make a network available by name.

    Args:
        name: Lower-case words joined by hyphens.
        packages: Import names of optional packages that the network needs.

    Returns:
        Decorator of a factory ``(in_channels, regions, *, option=default, ...) -> SegmentationNetwork``. Options are
        positive integers, tuples of them, or strings, so that a model file can hold them as JSON.

    Raises:
        ValueError: The name is taken.
    """

    def add(factory: Factory) -> Factory:
        if name in _ENTRIES:
            raise ValueError(f"a network {name!r} is registered already")
        parameters = list(inspect.signature(factory).parameters.values())[2:]
        options = {parameter.name: parameter.default for parameter in parameters}
        _ENTRIES[name] = _Entry(factory, options, tuple(packages))
        return factory

    return add


@dataclass(frozen=True)
class NetworkSpec:
    """All that is needed to build a network; stored with its weights.

    Options that are not given are filled in with their defaults, so a stored spec is complete. ``dataclasses.asdict``
    gives a dictionary for JSON, and ``NetworkSpec(**dictionary)`` takes it back.

    Args:
        name: One of ``network_names()``.
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        options: Options of this network, see ``network_options``.

    Raises:
        InputError: Unknown name or option, or a value out of range.

    Examples:
        >>> NetworkSpec("tunet", 1, ("kidney", "tumour"), {"base_filters": 8}).options
        {'base_filters': 8, 'levels': 4, 'coupling': 'joint'}
    """

    name: str
    in_channels: int
    regions: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and complete the fields."""
        object.__setattr__(self, "options", _complete(self.name, self.options))
        object.__setattr__(self, "in_channels", _whole_number(self.in_channels, "in_channels"))
        object.__setattr__(self, "regions", _region_names(self.regions))


def network_names() -> tuple[str, ...]:
    """Return the names of all networks, also of those whose packages are not installed."""
    return tuple(_ENTRIES)


def network_options(name: str) -> dict[str, Any]:
    """Return the options of a network with their defaults.

    Raises:
        InputError: Unknown name.

    Examples:
        >>> network_options("tunet-seb")
        {'base_filters': 16, 'levels': 4, 'coupling': 'joint'}
    """
    return dict(_entry(name).options)


def missing_packages(name: str) -> tuple[str, ...]:
    """Return the import names of packages that a network needs and that are not installed.

    Raises:
        InputError: Unknown name.
    """
    return tuple(package for package in _entry(name).packages if importlib.util.find_spec(package) is None)


def create_network(
    name: str,
    *,
    in_channels: int = 4,
    regions: Sequence[str] = ("whole", "core", "enhancing"),
    **options: Any,
) -> "SegmentationNetwork":
    """Return a network with new weights.

    Args:
        name: One of ``network_names()``.
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        options: Options of this network, see ``network_options``.

    Raises:
        InputError: Unknown name or option, a value out of range, or a package is missing.

    Examples:
        >>> network = create_network("tunet")
        >>> sum(parameter.numel() for parameter in network.parameters())
        12323907
    """
    return build_network(NetworkSpec(name, in_channels, _region_names(regions), options))


def build_network(spec: NetworkSpec) -> "SegmentationNetwork":
    """Return the network of a spec with new weights.

    Raises:
        InputError: A package is missing, or options do not fit each other.
    """
    missing = missing_packages(spec.name)
    if missing:
        titles = " and ".join(_TITLES.get(package, package) for package in missing)
        raise InputError(f"network {spec.name!r} needs {titles}; install tunetseg[rivals]")
    _check_not_taken(spec.regions)
    return _entry(spec.name).factory(spec.in_channels, spec.regions, **spec.options)


def _entry(name: str) -> _Entry:
    if name not in _ENTRIES:
        raise InputError(f"unknown network {name!r}; choose from {', '.join(_ENTRIES)}")
    return _ENTRIES[name]


def _region_names(given: Sequence[str]) -> tuple[str, ...]:
    """Return checked names; a list from JSON becomes a tuple."""
    if isinstance(given, str):
        raise InputError(f"regions must be a list of names, not the text {given!r}")
    names = tuple(given)
    if not names or len({*names}) != len(names):
        raise InputError(f"regions {list(names)} must be at least one name, each different")
    if len(names) > LIMITS.regions:
        raise InputError(f"{len(names)} regions: at most {LIMITS.regions} are possible")
    for name in names:
        if not isinstance(name, str) or not name or "." in name:
            raise InputError(f"region {name!r} cannot be a name in a network; choose another word without dots")
    return names


def _check_not_taken(regions: tuple[str, ...]) -> None:
    """Raise InputError where a sub-module cannot have the name of a region: its container has a method of that name."""
    from torch import nn

    taken = next((name for name in regions if hasattr(nn.ModuleDict(), name)), None)
    if taken is not None:
        raise InputError(f"region {taken!r} cannot be a name in a network; choose another word without dots")


def _complete(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return a network's options, each of its default's type."""
    defaults = network_options(name)
    for option in given:
        if option not in defaults:
            known = ", ".join(defaults)
            raise InputError(f"unknown option {option!r} of network {name!r}; choose from {known}")
    return {option: _checked(given.get(option, default), default, option) for option, default in defaults.items()}


def _checked(value: Any, default: Any, option: str) -> Any:
    if isinstance(default, tuple):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise InputError(f"{option} must be {len(default)} numbers, not {_short(value)}")
        numbers = tuple(_whole_number(number, option) for number in value)
        if len(numbers) != len(default):
            raise InputError(f"{option} must be {len(default)} numbers, not {len(numbers)}")
        return numbers
    if isinstance(default, str):
        if not isinstance(value, str):
            raise InputError(f"{option} must be a word, not {_short(value)}")
        return value
    return _whole_number(value, option)


def _whole_number(value: Any, name: str) -> int:
    """Return a positive integer of any integer type as an ``int``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {_short(value)}")
    most = {"levels": LIMITS.levels, "in_channels": LIMITS.channels, "input_size": LIMITS.patch_side}
    if number > most.get(name, LIMITS.filters):
        raise InputError(f"{name} must be at most {most.get(name, LIMITS.filters)}, not {_short(value)}")
    return number


def _short(value: Any) -> str:
    """Return a value for an error; of what is long, its beginning."""
    try:
        text = repr(value)
    except ValueError:  # integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}..."


def _tunet(design: str, squeeze_excite: bool) -> Factory:
    def build(
        in_channels: int,
        regions: tuple[str, ...],
        *,
        base_filters: int = 16,
        levels: int = 4,
        coupling: "Coupling" = "joint",
    ) -> "SegmentationNetwork":
        from tunetseg.networks import subnetwork
        from tunetseg.networks.cascade import Cascade

        levels_design = getattr(subnetwork, design)(base_filters, squeeze_excite)
        return Cascade(in_channels, regions, levels, levels_design, coupling=coupling)

    return build


# The paper's six networks (Table 1).
register("tunet")(_tunet("PlainDesign", False))
register("tunet-seb")(_tunet("PlainDesign", True))
register("tunet-reb1")(_tunet("PostActivationDesign", False))
register("tunet-reb1-seb")(_tunet("PostActivationDesign", True))
register("tunet-reb2")(_tunet("PreActivationDesign", False))
register("tunet-reb2-seb")(_tunet("PreActivationDesign", True))


@register("unet", packages=["monai"])
def _unet(in_channels: int, regions: tuple[str, ...], *, base_filters: int = 30) -> "SegmentationNetwork":
    from tunetseg.networks.rivals.unet import UNet

    return UNet(in_channels, regions, base_filters=base_filters)


@register("segresnet-vae", packages=["monai"])
def _segresnet_vae(
    in_channels: int,
    regions: tuple[str, ...],
    *,
    base_filters: int = 32,
    input_size: tuple[int, int, int] = (160, 192, 128),
) -> "SegmentationNetwork":
    from tunetseg.networks.rivals.segresnet_vae import SegResNetVAE

    return SegResNetVAE(in_channels, regions, base_filters=base_filters, input_size=input_size)


@register("anisotropic-cascade")
def _anisotropic_cascade(
    in_channels: int, regions: tuple[str, ...], *, base_filters: int = 32, view: str = "axial"
) -> "SegmentationNetwork":
    from tunetseg.networks.rivals.anisotropic import AnisotropicCascade

    return AnisotropicCascade(in_channels, regions, base_filters=base_filters, view=view)


@register("dynunet", packages=["monai"])
def _dynunet(
    in_channels: int, regions: tuple[str, ...], *, base_filters: int = 32, max_filters: int = 320, levels: int = 6
) -> "SegmentationNetwork":
    from tunetseg.networks.rivals.dynunet import DynUNet

    return DynUNet(in_channels, regions, base_filters=base_filters, max_filters=max_filters, levels=levels)


@register("swin-unetr", packages=["monai", "einops"])
def _swin_unetr(in_channels: int, regions: tuple[str, ...], *, base_filters: int = 48) -> "SegmentationNetwork":
    from tunetseg.networks.rivals.swin_unetr import SwinUNETR

    return SwinUNETR(in_channels, regions, base_filters=base_filters)
