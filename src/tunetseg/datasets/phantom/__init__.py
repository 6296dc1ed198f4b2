"""Synthetic patients with known truth, made from a seed: MRI of a glioma, CT of a kidney tumour, any nested regions."""

from tunetseg.datasets.phantom.ct import make_ct_patient
from tunetseg.datasets.phantom.mri import make_patient
from tunetseg.datasets.phantom.nested import make_nested
from tunetseg.datasets.phantom.phantom import Phantom
from tunetseg.datasets.phantom.writing import make_for, write_cohort, write_patient

__all__ = ["Phantom", "make_ct_patient", "make_for", "make_nested", "make_patient", "write_cohort", "write_patient"]
