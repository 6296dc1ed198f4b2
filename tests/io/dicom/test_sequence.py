"""Sequences are told from what scanners of three vendors write, and never guessed silently."""

from typing import Any

import pytest

from tunetseg.io.dicom import SequenceTags, guess_sequence

SPIN_ECHO_T1 = {"echo_time": 9, "repetition_time": 550}
T2 = {"echo_time": 96, "repetition_time": 3800}
FLAIR = {"echo_time": 120, "repetition_time": 9000, "inversion_time": 2500}
MPRAGE = {"echo_time": 2.9, "repetition_time": 2200, "inversion_time": 900, "scanning_sequence": ("GR", "IR")}


@pytest.mark.parametrize(
    ("description", "tags", "channel"),
    [
        # Siemens
        ("t1_mprage_sag_p2_iso", MPRAGE, "t1"),
        ("t1_mprage_sag_p2_iso_KM", MPRAGE, "t1ce"),
        ("t1_se_tra nativ", SPIN_ECHO_T1, "t1"),
        ("t1_se_tra nach KM", SPIN_ECHO_T1, "t1ce"),
        ("t1_se_tra ohne KM", SPIN_ECHO_T1, "t1"),
        ("t2_tse_tra_512", T2, "t2"),
        ("t2_tirm_tra_dark-fluid", FLAIR, "flair"),
        (
            "t2_space_dark-fluid_sag_p2_iso",
            {"echo_time": 388, "repetition_time": 5000, "inversion_time": 1800},
            "flair",
        ),
        # GE
        ("Ax T1", SPIN_ECHO_T1, "t1"),
        ("AX T1 +C", SPIN_ECHO_T1, "t1ce"),
        ("+C Ax T1 FSE", SPIN_ECHO_T1, "t1ce"),
        ("Ax T1 FLAIR", {"echo_time": 24, "repetition_time": 2500, "inversion_time": 980}, "t1"),
        ("Ax T2 FLAIR", {"echo_time": 130, "repetition_time": 8800, "inversion_time": 2250}, "flair"),
        ("Sag CUBE FLAIR", {"echo_time": 119, "repetition_time": 6000, "inversion_time": 1700}, "flair"),
        ("AX T2 PROPELLER", T2, "t2"),
        ("SAG 3D BRAVO POST", {"echo_time": 3.2, "repetition_time": 8.2, "inversion_time": 450}, "t1ce"),
        ("AX T1 POST GAD", SPIN_ECHO_T1, "t1ce"),
        ("AX T1 PRE GAD", SPIN_ECHO_T1, "t1"),
        ("AX T1 W/O", SPIN_ECHO_T1, "t1"),
        # Philips
        ("sT1W_3D_TFE", {"echo_time": 3.8, "repetition_time": 8.2, "scanning_sequence": ("GR",)}, "t1"),
        ("sT1W_3D_TFE_Gd", {"echo_time": 3.8, "repetition_time": 8.2}, "t1ce"),
        ("T1W_SE_CE", SPIN_ECHO_T1, "t1ce"),
        ("T2W_TSE_DRIVE", {"echo_time": 100, "repetition_time": 3000}, "t2"),
        ("FLAIR_longTR", {"echo_time": 125, "repetition_time": 11000, "inversion_time": 2800}, "flair"),
        ("3D_Brain_VIEW_FLAIR", {"echo_time": 300, "repetition_time": 4800, "inversion_time": 1650}, "flair"),
        # Research names
        ("T1C", {}, "t1ce"),
        ("T1ce", {}, "t1ce"),
        ("T1Gd", {}, "t1ce"),
        ("T2 post-op", T2, "t2"),
        ("T1 post op", SPIN_ECHO_T1, "t1"),
        ("PD/T2 dual echo", T2, "t2"),
        # Signs, and words written together
        ("AX T1 C-", SPIN_ECHO_T1, "t1"),
        ("t1_se_C-_tra", SPIN_ECHO_T1, "t1"),
        ("T1 -C", SPIN_ECHO_T1, "t1"),
        ("T1 (-C)", SPIN_ECHO_T1, "t1"),
        ("T1 -GD", SPIN_ECHO_T1, "t1"),
        ("T1 SE TRA KM-", SPIN_ECHO_T1, "t1"),
        ("T1-Gd", SPIN_ECHO_T1, "t1ce"),
        ("T1 GD-DTPA", SPIN_ECHO_T1, "t1ce"),
        ("T1 KM-MPR", SPIN_ECHO_T1, "t1ce"),
        ("T1+", SPIN_ECHO_T1, "t1ce"),
        ("AX T1 (+)", SPIN_ECHO_T1, "t1ce"),
        ("T1post", SPIN_ECHO_T1, "t1ce"),
        ("T1 INJ", SPIN_ECHO_T1, "t1ce"),
        ("T1 sans injection", SPIN_ECHO_T1, "t1"),
        ("AX T1 W/", SPIN_ECHO_T1, "t1ce"),
        ("AX T1 W/ FS", SPIN_ECHO_T1, "t1"),
        # After something else than an injection
        ("T1 post RT", SPIN_ECHO_T1, "t1"),
        ("T1 POST TX", SPIN_ECHO_T1, "t1"),
        ("T1 post-operative", SPIN_ECHO_T1, "t1"),
        ("T1 post chemo", SPIN_ECHO_T1, "t1"),
        ("T1 POST FOSSA", SPIN_ECHO_T1, "t1"),
        ("T1 POST RT +C", SPIN_ECHO_T1, "t1ce"),
        ("T1 GD pre op", SPIN_ECHO_T1, "t1ce"),
    ],
)
def test_clear(description: str, tags: dict[str, Any], channel: str) -> None:
    guess = guess_sequence(SequenceTags(description, **tags))
    assert (guess.channel, guess.certain) == (channel, True), guess
    assert guess.reasons


@pytest.mark.parametrize(
    ("description", "tags"),
    [
        ("ep2d_diff_3scan_trace_p2_ADC", {}),
        ("AX DWI B1000", T2),
        ("t2_fl2d_tra_hemo", {"echo_time": 20, "repetition_time": 600}),
        ("Ax T2* GRE", {"echo_time": 20, "repetition_time": 600}),
        ("SWI_Images", {}),
        ("TOF_3D_multi-slab", {}),
        ("3-plane loc", {}),
        ("DSC perfusion T2", {}),
        ("T1 map", {}),
        ("T1 post - pre SUB", SPIN_ECHO_T1),
        ("T2 STIR", {"echo_time": 60, "repetition_time": 4000, "inversion_time": 150}),
        ("t2_tirm_cor", {"echo_time": 60, "repetition_time": 4000, "inversion_time": 150}),
        ("T1 C-SPINE", SPIN_ECHO_T1),
        ("AX PD", {"echo_time": 12, "repetition_time": 3000}),
        ("T1 anything", {"image_type": ("ORIGINAL", "PRIMARY", "P")}),
        ("T2", {"diffusion": True}),
        ("T2", {"modality": "PT"}),
        ("unnamed", {"echo_time": 20, "repetition_time": 600, "scanning_sequence": ("GR",)}),
        ("unnamed", {"echo_time": 12, "repetition_time": 3000}),
    ],
)
def test_something_else(description: str, tags: dict[str, Any]) -> None:
    guess = guess_sequence(SequenceTags(description, **tags))
    assert guess.candidates == (), guess
    assert guess.reasons


@pytest.mark.parametrize(
    ("description", "tags", "channel"),
    [
        ("Brain 1", SPIN_ECHO_T1, "t1"),
        ("Brain 2", {**SPIN_ECHO_T1, "contrast_agent": "Dotarem"}, "t1ce"),
        ("Brain 3", T2, "t2"),
        ("Brain 4", FLAIR, "flair"),
        # The agent is often entered when the patient is registered, and then stands in series of before.
        ("T1 native", {**SPIN_ECHO_T1, "contrast_agent": "Dotarem"}, "t1"),
        # Times that contradict the words are said; these are of proton density.
        ("T1 FLAIR", {"echo_time": 9, "repetition_time": 2500}, "t1"),
    ],
)
def test_likely(description: str, tags: dict[str, Any], channel: str) -> None:
    guess = guess_sequence(SequenceTags(description, **tags))
    assert (guess.channel, guess.certain) == (channel, False), guess


@pytest.mark.parametrize(
    ("description", "tags", "candidates"),
    [
        ("Brain", {"echo_time": 100, "repetition_time": 9000}, ("flair", "t2")),
        ("T1", FLAIR, ("flair", "t1")),
        ("T1 +C", T2, ("t1ce", "t2")),
        ("T1 pre and post contrast", SPIN_ECHO_T1, ("t1", "t1ce")),
        ("T1 with and without contrast", SPIN_ECHO_T1, ("t1", "t1ce")),
        ("AX T1 W/WO", SPIN_ECHO_T1, ("t1", "t1ce")),
        ("T1 +/- C", SPIN_ECHO_T1, ("t1", "t1ce")),
        ("T1 T2", {}, ("t1", "t2")),
    ],
)
def test_ambiguous(description: str, tags: dict[str, Any], candidates: tuple[str, ...]) -> None:
    guess = guess_sequence(SequenceTags(description, **tags))
    assert (guess.candidates, guess.channel, guess.certain) == (candidates, None, False), guess


def test_unknown() -> None:
    guess = guess_sequence(SequenceTags("AX BRAIN"))
    assert (guess.candidates, guess.certain) == ((), False)
    assert guess.reasons == ("no name or time says what it is",)


@pytest.mark.parametrize("agent", ["", "NONE", "no", " "])
def test_no_agent(agent: str) -> None:
    assert guess_sequence(SequenceTags("T1", contrast_agent=agent)).channel == "t1"


def test_protocol_counts_where_the_description_is_silent() -> None:
    assert guess_sequence(SequenceTags("Brain axial", protocol="T1 +C")).channel == "t1ce"
    assert guess_sequence(SequenceTags("AX T2", protocol="DWI and T1")).channel == "t2"


def test_protocol_of_an_examination_with_both() -> None:
    protocol = "MRI BRAIN W/WO CONTRAST"
    assert guess_sequence(SequenceTags("AX T1", protocol=protocol)).channel == "t1"
    assert guess_sequence(SequenceTags("AX T1", protocol=protocol, contrast_agent="Dotarem")).channel == "t1ce"


def test_sequence_name_of_the_vendor() -> None:
    assert guess_sequence(SequenceTags("Kopf", sequence_name="*tfl3d1_16ns")).channel == "t1"
    assert guess_sequence(SequenceTags("Kopf", sequence_name="*spcir_278ns")).channel == "flair"


def test_acquisition_contrast_of_enhanced_images() -> None:
    assert guess_sequence(SequenceTags("Kopf", acquisition_contrast="FLUID_ATTENUATED")).channel == "flair"


def test_ct() -> None:
    assert guess_sequence(SequenceTags("Abdomen", modality="CT")).channel == "ct"


def test_reasons_quote_nothing() -> None:
    guess = guess_sequence(SequenceTags("T1 Meier Anna +C", protocol="Meier", contrast_agent="Meier"))
    assert "Meier" not in " ".join(guess.reasons)
