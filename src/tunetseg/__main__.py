"""``python -m tunetseg`` is ``tunet``."""

from tunetseg.cli.main import run

if __name__ == "__main__":
    run()
