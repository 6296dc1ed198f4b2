"""Examinations in DICOM as cases; that they are found is tested with `tunetseg.io.dicom`."""

from pathlib import Path

import pytest

import tunetseg.io.dicom
from tunetseg.datasets import find_description, find_patients
from tunetseg.findings import Finding
from tunetseg.io.dicom import DicomCase


def test_a_missing_series_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = (Finding("missing-channel", "refuse", "no t2 series among 3"), Finding("gap", "refuse", "a gap"))
    monkeypatch.setattr(tunetseg.io.dicom, "find_dicom_cases", lambda *_, **__: [DicomCase("a", {}, (), findings)])
    (case,) = find_patients(tmp_path, find_description("glioma"))
    assert [finding.message for finding in case.findings] == [
        "no t2 series among 3; or go on without the channel, with --without",
        "a gap",
    ]
