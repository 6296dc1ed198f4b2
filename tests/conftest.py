"""Property tests look for wrong values; a slow machine is no fault of theirs."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
