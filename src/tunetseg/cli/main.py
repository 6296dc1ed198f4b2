"""``tunet``: finds the command, runs it, turns what went wrong into one sentence and an exit code."""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from tunetseg.errors import InputError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "segment": "find the tumour in one patient or many",
    "train": "train a model on a cohort",
    "evaluate": "score segmentations against the experts'",
    "compare": "compare methods' scores on the same cases",
    "submission": "check and zip a folder for a challenge",
    "info": "versions, device, recipes, models, variants",
    "demo": "segment the embedded patient and score the result",
}


def _overview() -> str:
    lines = "\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items())
    return (
        "usage: tunet COMMAND [--help] ...\n\n"
        "Brain-tumour segmentation with cascaded networks (TuNet). Research use, not a medical device.\n\n"
        f"{lines}\n\n'tunet COMMAND --help' says what a command takes; 'tunet --version' which release this is."
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
        raise InputError(f"tunet {arguments[0]}: there is no such command; there are {', '.join(COMMANDS)}")
    import tyro

    name, *rest = arguments
    _refuse_repeats(rest)
    module = import_module(f"tunetseg.cli.{name}")
    prog = f"tunet {name}"
    if hasattr(module, "tyro_options"):
        module.train(tyro.cli(module.Arguments, args=rest, prog=prog, **module.tyro_options(rest)))
    else:
        tyro.cli(getattr(module, name), args=rest, prog=prog)


def _refuse_repeats(words: Sequence[str]) -> None:
    """The parser would keep the last of two equal flags without a word."""
    flags = [word.split("=")[0] for word in words if word.startswith("--")]
    twice = next((flag for flag in flags if flags.count(flag) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: is there twice; give it once, followed by all its values")


def _explain(fault: OSError | ModuleNotFoundError) -> str:
    """What neither the input nor the program is to blame for: a disk, a folder, an installation."""
    if isinstance(fault, ModuleNotFoundError):
        return f"this command needs {fault.name}, which is not installed; install tunetseg with its dependencies"
    if fault.strerror is None:
        return str(fault)
    return f"{fault.filename or 'reading or writing'}: {fault.strerror}; see to the disk or the permissions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Returns:
        0 done, 1 something went wrong, 2 bad input or usage.
    """
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
    except InputError as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 2
    except (OSError, ModuleNotFoundError) as fault:
        if not isinstance(fault, BrokenPipeError):  # whoever read the output, such as head, had enough
            print(f"error: {_explain(fault)}", file=sys.stderr)
        return 1
    except Exception as fault:
        import traceback

        traceback.print_exc()
        print(f"error: {type(fault).__name__}: {fault}; this is a fault of the program", file=sys.stderr)
        return 1
    return 0


def run() -> None:
    """Entry point of the ``tunet`` command."""
    # A scheduler's time limit is to be cleaned up after like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise SystemExit(main())
