"""Networks by name."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.networks import (
    Cascade,
    NetworkSpec,
    build_network,
    create_network,
    missing_packages,
    network_names,
    network_options,
    register,
    registry,
)
from tunetseg.networks.subnetwork import PlainDesign


def test_importing_networks_does_not_import_monai() -> None:
    code = "import sys, tunetseg.networks; print({'monai', 'einops'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_names_and_options() -> None:
    names = network_names()
    assert names[:2] == ("tunet", "tunet-seb")
    assert {"unet", "segresnet-vae", "anisotropic-cascade", "dynunet", "swin-unetr"} < {*names}
    assert network_options("tunet") == {"base_filters": 16, "levels": 4, "coupling": "joint"}


def test_a_spec_is_complete_and_plain() -> None:
    given: Any = ["a", "b"]
    spec = NetworkSpec("tunet", np.int64(3), given, {"levels": np.int64(2)})
    assert (spec.in_channels, spec.regions) == (3, ("a", "b"))
    assert type(spec.in_channels) is int
    assert spec.options == {"base_filters": 16, "levels": 2, "coupling": "joint"}
    assert type(spec.options["levels"]) is int
    assert NetworkSpec("segresnet-vae", 1, ("a",), {"input_size": [16, 16, 32]}).options["input_size"] == (16, 16, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ghost", 4, ("a",)), "unknown network 'ghost'; choose from tunet, tunet-seb"),
        (("tunet", 4, ("a",), {"depth": 3}), "unknown option 'depth' of network 'tunet'; choose from base_filters"),
        (("tunet", 0, ("a",)), "in_channels must be a whole number of at least 1, not 0"),
        (("tunet", True, ("a",)), "in_channels"),
        (("tunet", 4, ()), "at least one name, each different"),
        (("tunet", 4, ("a", "a")), "at least one name, each different"),
        (("tunet", 4, "whole"), "not the text 'whole'"),
        (("tunet", 4, ("a.b",)), "region 'a.b'"),
        (("tunet", 4, ("a",), {"levels": 2.5}), "levels must be a whole number of at least 1, not 2.5"),
        (("tunet", 4, ("a",), {"base_filters": -1}), "base_filters"),
        (("tunet", 4, ("a",), {"coupling": 1}), "coupling must be a word"),
        (("segresnet-vae", 4, ("a",), {"input_size": (16, 16)}), "input_size must be 3 numbers, not 2"),
        (("segresnet-vae", 4, ("a",), {"input_size": 16}), "input_size must be 3 numbers, not 16"),
    ],
)
def test_invalid_specs(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NetworkSpec(*arguments)


def test_a_region_cannot_have_the_name_of_a_method_of_the_network() -> None:
    with pytest.raises(InputError, match="region 'values' cannot be a name in a network"):
        create_network("tunet", regions=("values",))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dynunet", {"levels": 2}, "levels must be at least 3"),
        ("segresnet-vae", {"base_filters": 12}, "multiple of 8"),
        ("segresnet-vae", {"input_size": (8, 16, 16)}, "at least 16 voxels"),
        ("swin-unetr", {"base_filters": 16}, "multiple of 12"),
        ("anisotropic-cascade", {"view": "oblique"}, "unknown view 'oblique'; choose from axial, coronal, sagittal"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    if missing_packages(name):
        pytest.skip(f"network {name!r} needs {' and '.join(missing_packages(name))}")
    with pytest.raises(InputError, match=message):
        create_network(name, **options)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    assert missing_packages("segresnet-vae") == ("monai",)
    with pytest.raises(InputError, match=r"^network 'segresnet-vae' needs MONAI; install tunetseg\[rivals\]$"):
        create_network("segresnet-vae")
    with pytest.raises(InputError, match=r"^network 'swin-unetr' needs MONAI and einops; install tunetseg\[rivals\]$"):
        create_network("swin-unetr")
    assert create_network("tunet", base_filters=2, levels=2).regions == ("whole", "core", "enhancing")


def test_a_network_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))

    @register("two-levels")
    def two_levels(in_channels: int, regions: tuple[str, ...], *, base_filters: int = 2) -> Cascade:
        return Cascade(in_channels, regions, 2, PlainDesign(base_filters, squeeze_excite=False))

    assert "two-levels" in network_names()
    assert network_options("two-levels") == {"base_filters": 2}
    assert build_network(NetworkSpec("two-levels", 1, ("liver",))).stride == 2
    with pytest.raises(ValueError, match="registered already"):
        register("two-levels")(two_levels)
