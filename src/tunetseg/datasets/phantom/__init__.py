"""The embedded patient: synthetic, from a seed, with known truth."""

from tunetseg.datasets.phantom.patient import Phantom, make_patient, write_cohort, write_patient

__all__ = ["Phantom", "make_patient", "write_cohort", "write_patient"]
