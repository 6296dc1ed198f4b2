"""The rules of 2024 and 2025 against the organisers' code, and against a slow one written from its parameters."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.metrics import RULES, SurfaceDistances, find_rules, hausdorff, score_case, surface_distances

VECTORS = Path(__file__).parent / "oracles_2024"
EXPECTED = json.loads((VECTORS / "expected.json").read_text())
CHALLENGES = ("gli", "met", "ssa", "ped", "men", "men-rt")
NESTED = {"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,)}
COLUMNS = ("lesion_dice", "lesion_hd95", "lesion_nsd_05", "lesion_nsd_10", "lesion_tp", "lesion_fp", "lesion_fn")


def score(challenge, prediction, reference, spacing):
    rules = RULES[f"brats2024-{challenge}"]
    regions = {region.name: region.labels for region in rules.regions} or NESTED
    masks = [np.stack([np.isin(side, labels) for labels in regions.values()]) for side in (prediction, reference)]
    rows = score_case(*masks, regions=list(regions), spacing=spacing, rules=rules)
    return {row["region"]: row for row in rows}


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("case", EXPECTED)
def test_lesions_agree_with_the_organisers_code(case, challenge):
    with np.load(VECTORS / "label_maps.npz") as label_maps:
        rows = score(challenge, *label_maps[case], EXPECTED[case]["spacing"])
    wanted = EXPECTED[case]["challenges"][challenge]
    assert set(rows) == set(wanted)
    for region, columns in wanted.items():
        for column, theirs in columns.items():
            assert rows[region][column] == pytest.approx(theirs, rel=1e-6, abs=1e-6), (region, column)


# What follows is the table of parameters again, and everything done on the whole grid, one part at a time.
# Per challenge: dilation, size, penalty (None: diagonal), size of predicted parts (None: untouched), false positives.
SLOW = {
    "gli": (3, 20, 337, 20, True),
    "met": (1, 2, None, 2, True),
    "ssa": (3, 50, 374, 50, True),
    "ped": (5, 10, 374, 10, True),
    "men": (1, 50, 374, None, True),
    "men-rt": (1, 50, None, 50, False),
}
LABELS = {
    "gli": {**NESTED, "necrosis": (1,), "oedema": (2,), "cavity": (4,)},
    "met": {**NESTED, "cavity": (4,)},
    "ssa": NESTED,
    "men": NESTED,
    "men-rt": {"target": (1,)},
    "ped": {
        "whole": (1, 2, 3, 4), "core": (1, 2, 3), "enhancing": (1,), "necrosis": (2,), "cyst": (3,), "oedema": (4,)
    },
}  # fmt: skip
JOINS = {
    "gli": {
        "enhancing": ("necrosis", "cavity"),
        "necrosis": ("enhancing", "cavity"),
        "oedema": ("enhancing", "cavity", "necrosis"),
        "cavity": ("enhancing", "necrosis"),
    },
    "met": {"enhancing": ("necrosis",)},
    "ssa": {"enhancing": ("necrosis",)},
}
CROSS = ndimage.generate_binary_structure(3, 2)


def parameters(challenge, region):
    dilation, size, penalty, predicted, count = SLOW[challenge]
    if challenge == "gli":
        dilation = 5 if region in ("necrosis", "cavity") else dilation
        size = predicted = 10 if region == "enhancing" else 20
    return dilation, size, penalty, predicted, count


def grown(mask, steps):
    for _ in range(steps):
        mask = ndimage.binary_dilation(mask, CROSS)
    return mask


def slow_parts(mask, dilation, drop):
    """Parts as a list of masks, in the order of the first voxel of the dilated part."""
    numbers, count = ndimage.label(grown(mask, dilation), np.ones((3, 3, 3)))
    order = sorted(range(1, count + 1), key=lambda n: np.flatnonzero(numbers.ravel() == n)[0])
    parts = [(numbers == n) & mask for n in order]
    return [part for part in parts if drop is None or part.sum() > drop]


def slow_join(parts, others):
    """Join parts by the first of the other parts that each touches."""
    touched = [[n for n, other in enumerate(others) if (grown(part, 1) & other).any()] for part in parts]
    if sum(map(len, touched)) < 2:
        return parts
    joined = {}
    for number, (part, found) in enumerate(zip(parts, touched, strict=True)):
        key = ("other", found[0]) if found else ("own", number)
        joined[key] = joined[key] | part if key in joined else part
    return list(joined.values())


def slow_score(challenge, region, prediction, reference, spacing):
    dilation, size, penalty, _, count = parameters(challenge, region)
    unit = math.prod(spacing)
    if penalty is None:
        penalty = math.sqrt(sum(n * n for n in prediction.shape))

    def separated(side, name, *, predicted):
        n, _, _, least, _ = parameters(challenge, name)
        labels = {"necrosis": (1,), **LABELS[challenge]}[name]
        if not predicted:
            return slow_parts(np.isin(side, labels), n, None)
        least = least / unit if challenge == "men-rt" else least
        return slow_parts(np.isin(side, labels), 0 if least is None else n, least)

    sides = []
    for side, predicted in ((prediction, True), (reference, False)):
        parts = separated(side, region, predicted=predicted)
        for name in JOINS.get(challenge, {}).get(region, ()):
            parts = slow_join(parts, separated(side, name, predicted=predicted))
        sides.append(parts)
    found, lesions = sides
    hit, values, tp, fn = set(), [], 0, 0
    for lesion in lesions:
        touching = [n for n, part in enumerate(found) if (grown(lesion, dilation) & part).any()]
        hit.update(touching)
        if lesion.sum() * unit <= size:
            continue
        if not touching:
            fn += 1
            values.append((0, penalty, 0, 0))
            continue
        tp += 1
        union = np.logical_or.reduce([found[n] for n in touching])
        dice = 2 * (union & lesion).sum() / (union.sum() + lesion.sum())
        distance = hausdorff(union, lesion, spacing, definition="area-weighted")
        values.append((dice, distance, slow_nsd(union, lesion, spacing, 0.5), slow_nsd(union, lesion, spacing, 1.0)))
    fp = len(found) - len(hit)
    values += [(0, penalty, 0, 0)] * (fp if count else 0)
    means = [sum(column) / len(values) for column in zip(*values, strict=True)] if values else [1, 0, 1, 1]
    return dict(zip(COLUMNS, (*means, tp, fp, fn), strict=True))


def slow_nsd(first, second, spacing, tolerance):
    shares = []
    for mine, other in ((first, second), (second, first)):
        border = mine & ~ndimage.binary_erosion(mine)
        away = ndimage.distance_transform_edt(~(other & ~ndimage.binary_erosion(other)), sampling=spacing)
        shares.append((away[border] <= tolerance).mean())
    return sum(shares) / 2


def blobs(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(10, 18, 3))
    grid = np.indices(shape)
    sides = [np.zeros(shape, np.uint8)]

    def add(side, number):
        for _ in range(number):
            centre = np.array([rng.integers(0, n) for n in shape]).reshape(3, 1, 1, 1)
            side[((grid - centre) ** 2).sum(axis=0) < rng.uniform(0.8, 3.5) ** 2] = rng.integers(0, 5)

    add(sides[0], rng.integers(0, 10))
    sides.append(sides[0].copy())
    add(sides[1], rng.integers(0, 5))
    return *sides, tuple(rng.choice([0.7, 1.0, 1.0, 2.0], 3))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), challenge=st.sampled_from(CHALLENGES))
def test_agrees_with_a_slow_implementation(seed, challenge):
    prediction, reference, spacing = blobs(seed)
    rows = score(challenge, prediction, reference, spacing)
    assert set(rows) == set(LABELS[challenge])
    for region, row in rows.items():
        for column, wanted in slow_score(challenge, region, prediction, reference, spacing).items():
            assert row[column] == pytest.approx(wanted, rel=1e-6, abs=1e-6), (region, column)


def test_radiotherapy_does_not_count_false_positives_but_its_strict_version_does():
    prediction = np.zeros((1, 20, 20, 20), bool)
    prediction[0, 3:9, 3:9, 3:9] = True
    nothing = np.zeros_like(prediction)
    rules = RULES["brats2024-men-rt"]
    (row,) = score_case(prediction, nothing, regions=["target"], spacing=(1, 1, 1), rules=rules)
    (strict,) = score_case(prediction, nothing, regions=["target"], spacing=(1, 1, 1), rules=rules.strict())
    assert (row["lesion_dice"], row["lesion_hd95"], row["lesion_fp"]) == (1, 0, 1)
    assert (strict["lesion_dice"], strict["lesion_hd95"]) == (0, pytest.approx(math.sqrt(1200)))
    assert row["hd95"] == pytest.approx(math.sqrt(1200))


def test_the_penalty_of_metastases_is_the_diagonal_of_the_whole_grid():
    mask = np.zeros((1, 6, 6, 6), bool)
    mask[0, 1:4, 1:4, 1:4] = True
    masks = np.concatenate([mask] * 5)
    regions = ["whole", "core", "enhancing", "cavity", "necrosis"]
    rows = score_case(
        np.zeros_like(masks), masks, regions=regions, spacing=(1, 1, 2), rules=find_rules("brats2025-met"),
        shape=(3, 4, 12),
    )  # fmt: skip
    assert [row["region"] for row in rows] == regions[:4]
    assert all(row["hd95"] == row["lesion_hd95"] == 13 for row in rows)


def test_lesions_are_joined_only_with_the_masks_of_the_joining_region():
    masks = np.ones((1, 3, 3, 3), bool)
    with pytest.raises(ValueError, match="needs the masks of necrosis too"):
        score_case(masks, masks, regions=["enhancing"], spacing=(1, 1, 1), rules=RULES["brats2024-ssa"])


@pytest.mark.parametrize("name", CHALLENGES)
def test_2025_is_2024(name):
    assert find_rules(f"brats2025-{name}") is RULES[f"brats2024-{name}"]


def test_nsd_counts_each_direction_one_half():
    first, second = np.zeros((7, 1, 1), bool), np.zeros((7, 1, 1), bool)
    first[:3], second[6] = True, True
    distances = surface_distances(first, second, (1.0, 1.0, 1.0))
    assert distances.nsd(4) == pytest.approx((1 / 3 + 1) / 2)
    assert distances.surface_dice(4) == pytest.approx(2 / 4)
    assert math.isnan(SurfaceDistances(*[np.empty(0)] * 4).nsd(1))


@given(seed=st.integers(0, 2**32 - 1))
def test_nsd_agrees_with_every_pair_of_border_voxels(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 4, 3, 3)) < 0.4
    if not (first.any() and second.any()):
        return
    borders = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in (first, second)]
    within = [[min(math.dist(p, q) for q in other) <= 1 for p in own] for own, other in itertools.permutations(borders)]
    wanted = sum(map(np.mean, within)) / 2
    assert surface_distances(first, second, (1.0, 1.0, 1.0)).nsd(1.0) == pytest.approx(wanted)
