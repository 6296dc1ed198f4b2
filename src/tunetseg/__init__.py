"""TuNet: cascaded networks for nested tumour regions, after Vu, Nyholm and Löfstedt (BraTS 2019)."""

from importlib.metadata import version

__version__ = version("tunetseg")
