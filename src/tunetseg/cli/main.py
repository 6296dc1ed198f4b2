"""``tunet``: finds the command, runs it, turns what went wrong into one sentence and an exit code."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from tunetseg.errors import InputError, Terminated

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = {
    "segment": "find the tumour in one patient or many",
    "train": "train a model on a cohort",
    "pack": "put a prepared cohort into a few files",
    "evaluate": "score segmentations against reference segmentations",
    "compare": "compare the scores of methods on the same cases",
    "submission": "check and zip a folder for a challenge",
    "info": "versions, device, networks, datasets, recipes, models",
    "demo": "segment the embedded patient and score the result",
}


def _overview() -> str:
    lines = "\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items())
    return (
        "usage: tunet COMMAND [--help] ...\n\n"
        "Brain-tumour segmentation with cascaded networks (TuNet). Research use, not a medical device.\n\n"
        f"{lines}\n\n'tunet COMMAND --help' lists the options of a command; 'tunet --version' prints the version."
    )


def _run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview())
        if not arguments:
            raise SystemExit(2)
        return
    if arguments[0] == "--version":
        from tunetseg import __version__

        print(f"tunet {__version__}")
        return
    if arguments[0] not in COMMANDS:
        raise InputError(f"unknown command {arguments[0]!r}; choose from {', '.join(COMMANDS)}")
    name, *rest = arguments
    _refuse_repeats(rest)
    module = import_module(f"tunetseg.cli.{name}")
    if hasattr(module, "parse"):
        getattr(module, name)(module.parse(rest))
    else:
        import tyro

        tyro.cli(getattr(module, name), args=rest, prog=f"tunet {name}")


def _refuse_repeats(words: Sequence[str]) -> None:
    """The parser would keep the last of two equal flags without a word."""
    flags = [word.split("=")[0] for word in words if word.startswith("--")]
    twice = next((flag for flag in flags if flags.count(flag) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice; give it once, followed by all its values")


def _explain(fault: OSError | ModuleNotFoundError) -> str:
    """What neither the input nor the program is to blame for: a disk, a folder, an installation."""
    if isinstance(fault, ModuleNotFoundError):
        return f"this command needs {fault.name}, which is not installed; install tunetseg with its dependencies"
    if fault.strerror is None:
        return str(fault)
    return f"{fault.filename or 'reading or writing'}: {fault.strerror}; check the disk and the permissions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        0 done, 1 a bug or a fault of disk or installation, 2 bad input or usage, 130 interrupted by Ctrl-C,
        143 ended by SIGTERM.
    """
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except InputError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    except Terminated:
        print("terminated", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 2
    except (OSError, ModuleNotFoundError) as fault:
        if not isinstance(fault, BrokenPipeError):  # the reader of the output, such as head, had enough
            print(f"error: {_explain(fault)}", file=sys.stderr)
        return 1
    except Exception as fault:
        import traceback

        traceback.print_exc()
        print(f"error: {type(fault).__name__}: {fault}; this is a bug, please report it", file=sys.stderr)
        return 1
    return 0


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def run() -> None:
    """Run the ``tunet`` command and exit."""
    # The time limit of a scheduler is cleaned up after like Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)
    raise SystemExit(main())
