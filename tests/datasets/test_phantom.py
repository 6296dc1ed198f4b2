"""The synthetic patients: what they must be, whatever the seed."""

import numpy as np
import pytest

from tunetseg.datasets.phantom import Phantom, make_ct_patient, make_for, make_nested, make_patient

TINY = {"shape": (48, 48, 32), "spacing": 5.0}
TINY_CT = {"shape": (28, 36, 48), "spacing": (7.0, 8.0, 8.0)}


@pytest.mark.parametrize("seed", range(4))
def test_glioma(seed: int) -> None:
    patient = make_patient(seed, **TINY)
    assert set(patient.images) == {"t1", "t1ce", "t2", "flair"}
    assert (patient.scheme.name, patient.grade) == ("brats2017", "HGG")
    assert [bool((patient.label_map == value).any()) for value in (1, 2, 4)] == [True] * 3
    brain = patient.images["t1"] > 0
    assert 0.05 < brain.mean() < 0.4
    for image in patient.images.values():
        assert image.shape == TINY["shape"]
        assert np.array_equal(image > 0, brain)
    assert not (patient.label_map > 0)[~brain].any()
    t1ce, flair = patient.images["t1ce"], patient.images["flair"]
    healthy = brain & (patient.label_map == 0)
    assert t1ce[patient.label_map == 4].mean() > t1ce[healthy].mean() + t1ce[healthy].std()
    assert flair[patient.label_map == 2].mean() > flair[healthy].mean() + flair[healthy].std()


def test_low_grade_does_not_enhance() -> None:
    assert set(np.unique(make_patient(0, grade="LGG", **TINY).label_map)) == {0, 1, 2}


def hu(patient: Phantom, value: int) -> np.ndarray:
    """Intensities of the voxels with a label."""
    return patient.images["ct"][patient.label_map == value]


@pytest.mark.parametrize("seed", range(8))
def test_kidney_tumour(seed: int) -> None:
    patient = make_ct_patient(seed, **TINY_CT)
    (ct,) = patient.images.values()
    assert ct.shape == patient.label_map.shape == TINY_CT["shape"]
    assert set(np.unique(patient.label_map)) == {0, 1, 2}
    assert patient.scheme.name == "kits19"
    assert patient.grade is None
    # The corners of the field are air; HU are whole and fit into the 12 bits of a scanner.
    assert np.all(np.abs(ct[:, [0, 0, -1, -1], [0, -1, 0, -1]] + 1000) < 80)
    assert np.array_equal(ct, np.rint(ct))
    assert ct.min() >= -1024
    assert ct.max() <= 3071
    # Arterial phase: kidneys are bright, and the tumour is darker by more than the noise.
    assert 140 < hu(patient, 1).mean() < 230
    assert hu(patient, 2).mean() < hu(patient, 1).mean() - 40
    assert hu(patient, 2).mean() > 0


@pytest.mark.parametrize("seed", range(8))
def test_kidneys_and_tumours_have_the_size_of_patients(seed: int) -> None:
    patient = make_ct_patient(seed, **TINY_CT)
    voxel_ml = float(abs(np.linalg.det(patient.affine[:3, :3]))) / 1000
    kidneys, tumour = (voxel_ml * np.count_nonzero(patient.label_map == value) for value in (1, 2))
    assert 120 < kidneys < 420
    assert 3 < tumour < 180
    # One kidney on either side of the spine.
    middle = patient.label_map.shape[2] // 2
    assert np.any(patient.label_map[..., : middle - 3] == 1)
    assert np.any(patient.label_map[..., middle + 3 :] == 1)
    assert not np.any(patient.label_map[..., middle - 1 : middle + 1] == 1)


def test_ct_is_stored_as_kits_stores_it() -> None:
    """Slices from the top down, rows to the back, columns to the left."""
    patient = make_ct_patient(0, **TINY_CT)
    assert np.array_equal(patient.affine[:3, :3], [[0, 0, -8], [0, -8, 0], [-7, 0, 0]])


def test_a_field_has_one_patient_whatever_the_voxel_size() -> None:
    coarse = make_ct_patient(5, shape=(28, 36, 48), spacing=(7, 8, 8))
    fine = make_ct_patient(5, shape=(49, 72, 96), spacing=(4, 4, 4))
    for value in (1, 2):
        volumes = [np.count_nonzero(p.label_map == value) * abs(np.linalg.det(p.affine)) for p in (coarse, fine)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.2)


def test_gas_fat_and_bone_are_there() -> None:
    ct = make_ct_patient(2, shape=(48, 72, 96), spacing=(4, 4, 4)).images["ct"]
    assert np.count_nonzero(ct > 250) > 500
    body = ct[16:32, 30:42, 36:60]
    assert 0.05 < np.mean(np.abs(ct + 100) < 40) < 0.5
    assert body.mean() > -200
    inner = ct[:, 20:45, 30:66]
    assert np.count_nonzero(inner < -600) > 50


@pytest.mark.parametrize(("channels", "regions"), [(("a",), 1), (("a", "b"), 4), (("a", "b", "c"), 6)])
def test_nested(channels: tuple[str, ...], regions: int) -> None:
    patient = make_nested(3, channels=channels, regions=regions)
    assert tuple(patient.images) == channels
    assert list(np.unique(patient.label_map)) == list(range(regions + 1))
    assert np.array_equal(patient.scheme.nesting(patient.label_map), patient.label_map)
    body = patient.images["a"] != 0
    assert not patient.label_map[~body].any()
    for image in patient.images.values():
        assert np.array_equal(image != 0, body)
        means = [image[body & (patient.label_map == value)].mean() for value in range(regions + 1)]
        assert np.diff(sorted(means)).min() > 60


def test_layers_look_alike_in_all_patients() -> None:
    """So that they can be learned."""
    means = [
        [image[(patient.label_map == value) & (image > 0)].mean() for value in range(5)]
        for patient in (make_nested(0), make_nested(1))
        for image in patient.images.values()
    ]
    assert np.allclose(means[:2], means[2:], atol=25)


@pytest.mark.parametrize(
    ("make", "channel"),
    [
        (lambda seed: make_patient(seed, **TINY), "t2"),
        (lambda seed: make_ct_patient(seed, **TINY_CT), "ct"),
        (make_nested, "first"),
    ],
)
def test_same_seed_same_patient_other_seed_another(make, channel: str) -> None:
    one, same, other = (make(seed) for seed in (3, 3, 4))
    assert np.array_equal(one.images[channel], same.images[channel])
    assert np.array_equal(one.label_map, same.label_map)
    assert not np.array_equal(one.label_map, other.label_map)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: make_patient(shape=(2, 2, 2), spacing=500), "no brain"),
        (lambda: make_ct_patient(shape=(4, 4, 4), spacing=(1, 1, 1)), "does not hold the kidneys"),
        (lambda: make_nested(shape=(3, 3, 3), spacing=40), "does not hold 4 nested regions"),
        (lambda: make_nested(channels=()), "at least 1 channel"),
        (lambda: make_nested(regions=10), "1 to 9 regions"),
    ],
)
def test_impossible_patients(make, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        make()


def test_made_for_a_dataset() -> None:
    assert make_for("brats2021", 1, grade="LGG").grade == "LGG"
    assert make_for("kits19").scheme.region_names == ("kidney", "tumour")
