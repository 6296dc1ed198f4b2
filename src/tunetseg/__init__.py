"""TuNet: cascaded networks for nested tumour regions, after Vu, Nyholm and Löfstedt (BraTS 2019)."""

__version__ = "0.1.0"
