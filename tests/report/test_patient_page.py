"""The page of one patient, as a file and in a browser."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunetseg.datasets import find_description
from tunetseg.datasets.phantom import make_for
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid
from tunetseg.report.pages import viewer_script
from tunetseg.report.patient import region_facts
from tunetseg.report.view import view_of


@pytest.fixture(scope="session")
def patient(segmented: Segmentation) -> Segmentation:
    """The reference of the patient with one voxel layer less as its segmentation, and a wild name."""
    assert segmented.source is not None
    assert segmented.source.reference is not None
    label_map = np.roll(segmented._read_reference(segmented.source.reference), 1, axis=0)
    probabilities = segmented.scheme.masks(label_map) * np.float32(0.9) + np.float32(0.05)
    findings = (Finding("gap", "warning", "a <b>bold</b> warning & more"), Finding("thick-slices", "note", "thick"))
    return replace(
        segmented, case="<script>alert(1)</script>", label_map=label_map, probabilities=probabilities, findings=findings
    )


@pytest.fixture(scope="session")
def report(patient: Segmentation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patient.report(tmp_path_factory.mktemp("report") / "anna.html")


@pytest.fixture(scope="session")
def opened(browser: Any, report: Path) -> Any:
    """The report in a browser without a network; tests leave it as they find it."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda fault: page.faults.append(str(fault)))
    page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
    page.on("request", lambda asked: page.faults.append(asked.url) if not asked.url.startswith("file") else None)
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


def test_one_file_that_asks_for_nothing(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert report.stat().st_size < 5_000_000
    own = text.replace(viewer_script(), "")
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", own)
    assert "default-src 'none'" in own
    assert "esearch use, not a medical device" in own
    assert [path.name for path in report.parent.iterdir()] == ["anna.html"]


def test_names_and_messages_are_escaped(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in text
    assert "a &lt;b&gt;bold&lt;/b&gt; warning &amp; more" in text


def test_numbers_and_words(report: Path, patient: Segmentation) -> None:
    text = report.read_text(encoding="utf-8")
    for volume in patient.volumes_ml.values():
        assert f">{volume:.1f}</td>" in text
    assert "<strong>missing</strong>; replaced by zeros" in text
    assert text.index("Warning:") < text.index("Note:"), "warnings come first"
    assert "Rules brats2020" in text
    assert '"sha256"' in text or "&#34;sha256&#34;" in text


def test_measurements_are_those_of_the_mask(patient: Segmentation) -> None:
    view = view_of(patient)
    whole = region_facts(view)[0]
    assert whole.volume_ml == pytest.approx(patient.volumes_ml["whole"], abs=0.001)
    assert sum(lesion.volume_ml for lesion in whole.lesions) == pytest.approx(whole.volume_ml)
    assert re.fullmatch(r"\d+ mm (left|right), \d+ mm (front|back), \d+ mm (up|down)", whole.side)
    mean = patient.uncertainty[0][patient.masks[0]].mean()
    assert whole.uncertainty == pytest.approx(mean, abs=0.5)


def test_another_file_is_not_replaced(patient: Segmentation, tmp_path: Path) -> None:
    other = tmp_path / "mine.html"
    other.write_text("<p>mine")
    with pytest.raises(InputError, match="was not written by tunetseg"):
        patient.report(other)
    with pytest.raises(InputError, match=r"is an \.html file"):
        patient.report(tmp_path / "report.pdf")
    assert other.read_text() == "<p>mine"


def test_another_organ_and_nothing_found(tmp_path: Path) -> None:
    dataset = find_description("kits19")
    patient = make_for("kits19", 0)
    empty = Segmentation(
        case="case_00000",
        label_map=np.zeros(patient.label_map.shape, np.uint8),
        probabilities=np.zeros((2, *patient.label_map.shape), np.float32),
        grid=Grid(patient.affine, patient.label_map.shape),
        scheme=dataset.scheme,
        dataset=dataset,
        images=np.stack([patient.images["ct"]]),
    )
    text = empty.report(tmp_path / "kidney.html").read_text(encoding="utf-8")
    assert text.count(">0.0</td>") == 2
    assert "none found" in text
    assert empty.report(tmp_path / "kidney.html").is_file(), "an earlier page is replaced"


def test_it_draws(opened: Any) -> None:
    assert not opened.faults
    shown = opened.evaluate(
        """() => { const source = document.getElementById('canvas');
        const copy = document.createElement('canvas'); [copy.width, copy.height] = [200, 150];
        return new Promise((done) => requestAnimationFrame(() => { document.getElementById('label-opacity')
          .dispatchEvent(new Event('input')); copy.getContext('2d').drawImage(source, 0, 0, 200, 150);
          const dots = copy.getContext('2d').getImageData(0, 0, 200, 150).data;
          let grey = 0, coloured = 0;
          for (let at = 0; at < dots.length; at += 4) {
            const [red, green, blue] = dots.slice(at, at + 3);
            if (Math.max(red, green, blue) < 40) continue;
            if (Math.abs(red - blue) > 50) coloured++; else grey++;
          }
          done([grey, coloured]); })); }"""
    )
    assert shown[0] > 500
    assert shown[1] > 50


def values(page: Any) -> dict[str, str]:
    rows = page.locator("#values tr")
    return dict(rows.evaluate_all("(all) => all.map((row) => [...row.children].map((cell) => cell.textContent))"))


def test_values_under_the_cross_hair(opened: Any, patient: Segmentation) -> None:
    """At three places, against the arrays."""
    assert patient.images is not None
    probabilities, uncertainty = patient.probabilities, patient.uncertainty
    opened.locator("#canvas").focus()
    opened.keyboard.press("Home")
    seen = set()
    for keys in ([], ["ArrowLeft", "ArrowLeft", "PageUp"], ["Shift+ArrowDown", "ArrowRight"]):
        for key in keys:
            opened.keyboard.press(key)
        found = values(opened)
        x, y, z = (int(number) for number in found["Voxel"].split(", "))
        seen.add((x, y, z))
        assert float(found["T1"]) == pytest.approx(float(patient.images[0, x, y, z]), rel=0.01, abs=1)
        label = int(patient.label_map[x, y, z])
        assert found["Segmentation"] == (patient.scheme.values[label] if label else "outside")
        assert float(found["Probability, core"]) == pytest.approx(float(probabilities[1, x, y, z]), abs=0.006)
        assert float(found["Uncertainty, whole"]) == pytest.approx(float(uncertainty[0, x, y, z]), abs=0.6)
        world = patient.grid.affine @ [x, y, z, 1]
        first = found["Position in mm"].split(", ")[0]
        assert first == f"{abs(world[0]):.1f} {'L' if world[0] < 0 else 'R'}"
    assert len(seen) == 3


def test_every_overlay_is_switched(opened: Any) -> None:
    def shown() -> list[str]:
        return str(opened.locator("body").get_attribute("data-shown")).split()

    assert shown() == ["image-t1ce", "labels", "reference"]
    options = opened.locator("#map option").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(options) == 7
    for option in options[1:]:
        opened.locator("#map").select_option(option)
        assert shown() == ["image-t1ce", "reference", option]
    opened.locator("#map").select_option("")
    assert shown() == ["image-t1ce", "labels", "reference"]
    opened.locator("#show-reference").uncheck()
    opened.locator("#choose-image-flair").check()
    assert shown() == ["image-flair", "labels"]
    opened.locator("#canvas").focus()
    for key in ("r", "s", "s", "2"):
        opened.keyboard.press(key)
    assert shown() == ["image-t1ce", "labels", "reference"]
    opened.locator("#layout").select_option("4")
    opened.keyboard.press("Tab")
    opened.locator("#canvas").focus()
    opened.keyboard.press("v")
    assert opened.locator("#layout").input_value() == "3"


def test_a_window_per_image(opened: Any) -> None:
    before = opened.locator("#high").input_value()
    opened.locator("#high").fill(str(float(before) / 2))
    assert float(opened.locator("#high").input_value()) == pytest.approx(float(before) / 2, rel=0.01)
    opened.locator("#choose-image-flair").check()
    opened.locator("#choose-image-t1ce").check()
    assert float(opened.locator("#high").input_value()) == pytest.approx(float(before) / 2, rel=0.01)
    opened.locator("#reset").click()
    assert opened.locator("#high").input_value() == before
    assert not opened.faults


def test_names_for_a_screen_reader(opened: Any) -> None:
    bare = opened.evaluate(
        """() => [...document.querySelectorAll('input, select, canvas, svg[role=img], button, table')].filter((one) =>
        !(one.labels && one.labels.length && one.labels[0].textContent.trim()) && !one.getAttribute('aria-label')
        && !one.textContent.trim()).map((one) => one.outerHTML.slice(0, 90))"""
    )
    assert bare == []
    heads = opened.evaluate("() => [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert heads[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(heads))


def test_print_and_browsers_without_webgl(browser: Any, report: Path) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri(), timeout=120_000)
    assert not page.locator("#viewer").is_visible()
    assert page.locator("#no-viewer").is_visible()
    assert page.locator(".slice").count() == 9
    page.emulate_media(media="print")
    assert not page.locator("#no-viewer").is_visible()
    assert page.locator(".slice svg").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
