"""``tunet``: finds the command, runs it, turns what went wrong into one sentence and an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType

from tunetseg.cli.text import printable
from tunetseg.errors import InputError, Terminated
from tunetseg.limits import check_process, shortage
from tunetseg.signals import SIGNALS

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = {
    "segment": "find the tumour in one patient or many",
    "prepare": "register raw scans and remove the skull",
    "inspect": "show what a folder holds and check the images",
    "train": "train a model on a cohort",
    "study": "train many models on the same folds, here or on a cluster, and compare them",
    "status": "show where the models of a study stand",
    "pack": "put a prepared cohort into a few files",
    "evaluate": "score segmentations against reference segmentations",
    "compare": "compare the scores of methods on the same cases",
    "tune": "choose post-processing and calibration on patients that models never saw",
    "report": "write a page that shows results in a browser",
    "serve": "segment files that are dropped on a page in the browser",
    "paper": "make the paper's figures and tables of your own results",
    "convert": "write results for ITK-SNAP, FSLeyes, 3D Slicer or BIDS",
    "export": "write models as ONNX or OpenVINO files",
    "submission": "check and zip a folder for a challenge",
    "info": "versions, device, networks, datasets, recipes, models",
    "demo": "segment the embedded patient and score the result",
}

_EXTRAS = {
    "matplotlib": "plot",
    "jinja2": "plot",
    "monai": "rivals",
    "PIL": "plot",
    "onnx": "train",
    "onnxscript": "train",
    "pytorch_lightning": "train",
    "starlette": "serve",
    "tensorboard": "train",
    "torch": "train",
    "uvicorn": "serve",
}
"""Package -> the extra of this distribution that installs it."""


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
    check_process()
    name, *rest = arguments
    _check_words(rest)
    module = import_module(f"tunetseg.cli.{name}")
    if hasattr(module, "parse"):
        getattr(module, name)(module.parse(rest))
    else:
        import tyro

        tyro.cli(getattr(module, name), args=rest, prog=f"tunet {name}")


def _check_words(words: Sequence[str]) -> None:
    """Refuse what the parser would accept or show without a word: empty and unsafe names, and two equal flags."""
    if any(not word or (word.startswith("--") and word.endswith("=")) for word in words):
        # As a path it would mean the current folder; it usually comes from a shell variable that is not set.
        raise InputError("an argument is empty; give every name and folder, or leave out its flag")
    # The parser would show them as they are.
    unsafe = next((word for word in words if word != printable(word) and not os.path.lexists(word)), None)
    if unsafe is not None:
        raise InputError(f"the argument {unsafe} holds control characters; give a name without them")
    flags = [word.split("=")[0] for word in words if word.startswith("--")]
    twice = next((flag for flag in flags if flags.count(flag) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice; give it once, followed by all its values")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        0 done, 1 a bug or a fault of disk or installation, 2 bad input or usage, 3 warned of with ``--strict``, 130
        interrupted by Ctrl-C,
        143 ended by SIGTERM.
    """
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except SystemExit as leaving:  # the parser has printed help, or what is wrong
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 2
    except BrokenPipeError:  # the reader of the output, such as head, has read enough
        return 1
    except (Exception, KeyboardInterrupt) as fault:
        code, line = _explain(fault)
        print(printable(line), file=sys.stderr)
        return code
    return 0


def _explain(fault: BaseException) -> tuple[int, str]:
    """Return the exit code and the sentence of an exception."""
    code = 1
    match fault:
        case InputError():
            code, sentence = 2, f"error: {fault}"
        case Terminated():
            code, sentence = 128 + signal.SIGTERM, "terminated"
        case KeyboardInterrupt():
            code, sentence = 128 + signal.SIGINT, "interrupted"
        case ModuleNotFoundError(name=str(package)):
            extra = f"tunetseg[{_EXTRAS[package]}]" if package in _EXTRAS else package
            sentence = f"error: this command needs {package}, which is not installed; run: pip install '{extra}'"
        case OSError(errno=errno.ENAMETOOLONG):
            code, name = 2, Path(str(fault.filename)).name
            sentence = f"error: {name[:60]}...: the name is longer than file systems allow; choose a shorter one"
        case OSError(strerror=str(reason)):
            place = fault.filename or "reading or writing"
            sentence = f"error: {place}: {reason}; check the disk and the permissions"
        case OSError():
            sentence = f"error: {fault}"
        case RuntimeError() | MemoryError() if (shortfall := shortage(fault)) is not None:
            sentence = f"error: {shortfall}"
        case _:
            import traceback

            traceback.print_exception(fault)
            sentence = f"error: {type(fault).__name__}: {fault}; this is a bug, please report it"
    return code, sentence


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def run() -> None:
    """Run the ``tunet`` command and exit."""
    # NumPy and SciPy have one OpenBLAS each, whose threads keep waiting at work, on the cores that networks need.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # So that a scheduler's time limit lets the program clean up, as Ctrl-C does.
    for number in SIGNALS:
        if number != signal.SIGINT:
            signal.signal(number, _terminate)
    raise SystemExit(main())
