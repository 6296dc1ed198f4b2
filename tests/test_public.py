"""The public face: every name is there, and importing it is fast."""

import subprocess
import sys

import pytest

import tunetseg

HEAVY = ("numpy", "torch", "nibabel", "scipy", "matplotlib", "rich", "tyro", "msgspec")


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", tunetseg.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(tunetseg, name)
    assert name in dir(tunetseg)
    assert getattr(tunetseg, name) is found
    if name != "__version__":
        assert found.__module__.startswith("tunetseg.")
        assert found.__doc__


def test_the_lists_of_names_agree() -> None:
    assert sorted(tunetseg.__all__) == sorted([*tunetseg._HOMES, "__version__"])
    assert dir(tunetseg) == sorted(tunetseg.__all__)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'tunetseg' has no attribute 'segmnt'"):
        tunetseg.segmnt  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'segmnt'"):
        exec("from tunetseg import segmnt")


def test_an_error_of_the_user_can_be_caught() -> None:
    with pytest.raises(tunetseg.InputError):
        tunetseg.find_cases("")
    assert issubclass(tunetseg.InputError, ValueError)


def test_importing_is_fast_and_light() -> None:
    """In seconds of the processor, as a machine that is busy with other work needs longer."""
    code = (
        "import sys, time\n"
        "before = time.process_time()\n"
        "import tunetseg\n"
        "print(time.process_time() - before)\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])\n"
    )
    seconds = []
    for _ in range(3):
        time, heavy = in_a_new_process(code).split("\n")[:2]
        assert not heavy, f"{heavy} imported"
        seconds.append(float(time))
    assert min(seconds) < 0.1


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("from tunetseg.cli.main import main; main(['--help'])", ()),
        ("from tunetseg.cli.main import main; main(['--version'])", ()),
        ("import tunetseg; tunetseg.find_description('2021')", ("numpy", "msgspec", "nibabel", "scipy")),
        ("import tunetseg; tunetseg.evaluate", ("numpy", "msgspec", "nibabel", "scipy", "rich")),
        ("import tunetseg.datasets, tunetseg.io, tunetseg.metrics", ("numpy", "msgspec", "nibabel", "scipy")),
    ],
)
def test_what_is_imported_for_what(code: str, allowed: tuple[str, ...]) -> None:
    found = in_a_new_process(f"{code}\nimport sys\nprint('modules', *[n for n in {HEAVY} if n in sys.modules])")
    assert set(found.splitlines()[-1].split()[1:]) <= set(allowed)
