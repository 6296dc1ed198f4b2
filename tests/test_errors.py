"""The one error for what users give."""

import pickle

from tunetseg.errors import InputError


def test_a_message_is_one_line() -> None:
    """The texts of nibabel and PyTorch made sentences of many lines."""
    assert str(InputError("a.nii: damaged (header\n  of 3 lines\r\n); copy it again\n")) == (
        "a.nii: damaged (header of 3 lines ); copy it again"
    )


def test_a_message_has_an_end() -> None:
    assert len(str(InputError("unknown network " + "x" * 100_000))) < 1600


def test_it_can_be_sent_from_process_to_process() -> None:
    fault = pickle.loads(pickle.dumps(InputError("a: b")))
    assert (type(fault), str(fault)) == (InputError, "a: b")
