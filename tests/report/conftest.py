"""A page in a browser, and a segmented patient."""

from collections.abc import Iterator
from typing import Any

import pytest

from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import make_for, write_patient
from tunetseg.inference.segment import segment
from tunetseg.inference.segmentation import Segmentation


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Return a new page without a network; the test fails if a script fails or anything is asked of the network."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    found = context.new_page()
    faults: list[str] = []
    found.on("pageerror", lambda fault: faults.append(str(fault)))
    found.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    found.on("request", lambda asked: faults.append(asked.url) if asked.url.startswith("http") else None)
    yield found
    context.close()
    assert not faults


@pytest.fixture(scope="session")
def segmented(tmp_path_factory: pytest.TempPathFactory, make_model: Any) -> Segmentation:
    """Return a glioma of 40x44x30 voxels of 5 mm, segmented by an untrained model, with its reference and no T2."""
    folder = tmp_path_factory.mktemp("patient")
    write_patient(make_for("brats2020", 0, shape=(40, 44, 30), spacing=5.0), folder, dataset="brats2020")
    (case,) = find_cases(folder)
    model = make_model(folder / "model.safetensors")
    return segment(case.without("t2"), model=model, missing="allow")
