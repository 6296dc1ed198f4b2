"""Rules of 2024 to 2026 on label maps: their regions, which label values are meant, and what is left out."""

import csv
import json
import math

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import summary_lines, summary_tables
from tunetseg.metrics import find_rules

GLIOMA = ["whole", "core", "enhancing", "necrosis", "oedema", "cavity"]


@pytest.fixture
def treated():
    """A tumour after treatment: core 1, oedema 2, enhancing 3, cavity 4, side by side."""
    labels = np.zeros((24, 12, 12), np.uint8)
    for value in (1, 2, 3, 4):
        labels[5 * value - 3 : 5 * value + 1, 2:8, 2:8] = value
    return labels


@pytest.mark.parametrize("rules", ["brats2024-gli", "brats2025", "brats2026"])
def test_regions_need_not_be_nested(tmp_path, flat, treated, rules):
    side = flat(tmp_path / "side", a=treated)
    scores = evaluate(side, side, rules=rules)
    assert [row["region"] for row in scores.rows] == GLIOMA
    assert all(row["dice"] == row["lesion_dice"] == 1 for row in scores.rows)
    voxels = {row["region"]: round(1000 * row["reference_ml"]) for row in scores.rows}
    assert voxels == dict(zip(GLIOMA, (432, 288, 144, 144, 144, 144), strict=True))


def test_names_of_2023_do_not_forbid_the_cavity_under_the_rules_of_2024(tmp_path, cohort, treated):
    references = cohort(tmp_path / "r", **{"BraTS-GLI-00001-000": treated})
    scores = evaluate(references, references, rules="brats2024")
    assert scores.rows[5]["reference_ml"] == pytest.approx(0.144)
    with pytest.raises(InputError, match="do not exist in brats2023"):
        evaluate(references, references, rules="brats2020")


def test_a_dataset_says_its_rules(tmp_path, cohort, treated):
    references = cohort(tmp_path / "r", **{"BraTS-GLI-00001-000": treated})
    assert evaluate(references, references, dataset="2024").summary["rules"]["name"] == "brats2024-gli"
    for name in ("brats2024-ped", "brats2024-men-rt"):
        assert find_rules(name).labels == name
    side = cohort(tmp_path / "met", **{"BraTS-MET-00001-000": treated})
    met = evaluate(side, side, dataset="brats2025-met")
    assert [row["region"] for row in met.rows] == ["whole", "core", "enhancing", "cavity"]


def test_older_label_values_are_translated(tmp_path, flat, treated):
    labels = np.where(treated == 4, 0, treated).astype(np.uint8)
    older = np.where(labels == 3, 4, labels).astype(np.uint8)
    predictions, references = flat(tmp_path / "p", a=older), flat(tmp_path / "r", a=labels)
    scores = evaluate(predictions, references, rules="brats2026", prediction_labels="2021")
    assert [row["dice"] for row in scores.rows[:5]] == [1] * 5
    assert math.isnan(scores.rows[5]["dice"])


def test_label_maps_that_look_older_are_pointed_out(tmp_path, flat, treated, tumour):
    older, newer = flat(tmp_path / "older", a=tumour()), flat(tmp_path / "newer", a=treated)
    for side, labels, doubtful in ((older, None, True), (older, "2021", False), (newer, None, False)):
        lines = summary_lines(evaluate(side, side, rules="brats2026", labels=labels).summary)
        assert any("have a 4 but no 3" in line for line in lines) == doubtful


def test_paediatric_regions(tmp_path, flat, treated):
    side = flat(tmp_path / "side", a=treated)
    rows = evaluate(side, side, rules="brats2024-ped").rows
    assert [row["region"] for row in rows] == ["whole", "core", "enhancing", "necrosis", "cyst", "oedema"]
    assert [round(1000 * row["reference_ml"]) for row in rows] == [576, 432, 144, 144, 144, 144]


def test_one_target_of_radiotherapy(tmp_path, flat, treated):
    side = flat(tmp_path / "side", a=(treated == 1).astype(np.uint8))
    for rules in ("brats2024-men-rt", "brats2026-men-rt"):
        (row,) = evaluate(side, side, rules=rules).rows
        assert (row["region"], row["dice"]) == ("target", 1)


def test_the_penalty_is_the_diagonal_of_the_file_not_of_the_tumour(tmp_path, flat, treated):
    predictions, references = flat(tmp_path / "p", b=treated), flat(tmp_path / "r", a=treated, b=treated)
    scores = evaluate(predictions, references, rules="brats2024-met")
    assert scores.rows[0]["hd95"] == scores.rows[0]["lesion_hd95"] == pytest.approx(math.hypot(24, 12, 12))
    assert any("the grid's diagonal in voxels" in line for line in summary_lines(scores.summary))


def test_what_the_official_code_skips_is_left_out_and_the_strict_version_counts_it(tmp_path, flat, save, treated):
    references = flat(tmp_path / "r", a=treated, b=treated, c=np.zeros_like(treated))
    predictions = flat(tmp_path / "p", a=treated, c=np.zeros_like(treated))
    save(tmp_path / "p/b.nii.gz", treated[:-1])
    scores = evaluate(predictions, references, rules="brats2026", strict=True)
    whole, strict = scores.summary["regions"]["whole"], scores.summary["strict"]["regions"]["whole"]
    assert (whole["dice"]["mean"], whole["dice"]["n"], whole["dice"]["left_out"]) == (1, 1, 2)
    assert (strict["dice"]["mean"], strict["hd95"]["mean"]) == pytest.approx((2 / 3, 373 / 3))
    assert strict["lesion_dice"]["n"] == 3
    assert scores.summary["strict"]["differing"] == dict.fromkeys(GLIOMA, 2)
    lines = "\n".join(summary_lines(scores.summary))
    assert "are left out, as by the official code: b" in lines
    assert "Cases that it scores differently: whole 2, core 2" in lines
    titles = [table.title for table in summary_tables(scores.summary)]
    assert titles[0] == "3 cases, rules brats2026-gli, mean ± SD"
    assert "3 cases, strict version of brats2026-gli, mean ± SD" in titles


def test_missing_files_count_under_the_official_rules_too(tmp_path, flat, treated):
    predictions, references = flat(tmp_path / "p", a=treated), flat(tmp_path / "r", a=treated, b=treated)
    whole = evaluate(predictions, references, rules="brats2026").summary["regions"]["whole"]
    assert (whole["dice"]["mean"], whole["hd95"]["mean"]) == (0.5, 373 / 2)


def test_both_tables_are_written(tmp_path, flat, treated):
    side = flat(tmp_path / "side", a=treated)
    files = evaluate(side, side, rules="brats2026", strict=True).save(tmp_path / "scores.csv")
    assert [path.name for path in files] == ["scores.csv", "scores.json", "scores-strict.csv", "scores-strict.json"]
    with files[0].open() as table:
        (first, *_) = csv.DictReader(table)
    wanted = ["dice", "hd95", "nsd", "lesion_dice", "lesion_hd95", "lesion_nsd", "f1", "lesion_tp", "lesion_fp"]
    assert [name for name in first if name in wanted] == wanted
    facts = json.loads(files[3].read_text())
    assert facts["rules"]["name"] == "brats2026-gli-strict"
    assert "strict" not in facts


def test_strict_version_of_2019_penalises(tmp_path, flat, tumour):
    predictions, references = flat(tmp_path / "p", a=tumour(enhancing=0)), flat(tmp_path / "r", a=tumour())
    scores = evaluate(predictions, references, rules="brats2019", strict=True)
    assert math.isnan(scores.rows[2]["hd95"])
    assert scores.strict_rows[2]["hd95"] == pytest.approx(math.hypot(12, 10, 8))
    assert scores.summary["strict"]["differing"] == {"whole": 0, "core": 0, "enhancing": 1}


def test_regions_without_uncertainty_maps(tmp_path, flat, treated):
    side = flat(tmp_path / "side", a=treated)
    with pytest.raises(InputError, match="rules brats2026-gli score regions that have no uncertainty maps"):
        evaluate(side, side, rules="brats2026", uncertainty=True)
