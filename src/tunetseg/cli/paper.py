"""``tunet paper``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from tunetseg.datasets import DatasetDescription
    from tunetseg.networks import SegmentationNetwork

from tunetseg.cli.options import OptionalPath, OptionalText, OutPath, optional

__all__ = ["paper"]

What = Literal["figure1", "figure4", "figure5", "table1", "table2", "table3", "table4"]


def paper(
    what: Annotated[What, tyro.conf.Positional],
    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("SOURCE")] = (),
    *,
    out: OutPath,
    images: OptionalPath = None,
    model: OptionalText = None,
    network: OptionalText = None,
) -> None:
    """Make a figure or a table of the paper, of your own model and results.

    figure1: the cascade, drawn from a model. figure4: images, reference and result; SOURCE are label maps or manifests
    of 'tunet segment'. figure5: probability and uncertainty; SOURCE is one label map whose probabilities were saved.
    table1 to table4: SOURCE is the folder of a study, or tables of 'tunet evaluate --out', one per method. Research
    use, not a medical device.

    Args:
        what: Which one.
        sources: What it is made from.
        out: File: .png, .svg or .pdf of a figure; .csv, .md or .tex of a table.
        images: Folder of the patients' images, for figure4 and figure5.
        model: Packaged model, model file or run folder, for figure1; by default the default model.
        network: A network with new weights instead, such as tunet-reb2-seb.
    """
    from tunetseg.cli.console import line_console
    from tunetseg.errors import InputError
    from tunetseg.io.files import check_target

    check_target(out, out.suffix)
    if what == "figure1":
        if sources or images is not None:
            raise InputError("figure1 is drawn from a model; name it with --model, or a network with --network")
    elif not sources:
        raise InputError(f"{what} is made from results; name them after {what}")
    if what.startswith("table"):
        from tunetseg.report.paper_tables import write_paper_table

        path = write_paper_table(int(what.removeprefix("table")), sources, out)
    else:
        path = _figure(what, sources, out, images, model, network)
    line_console().print(f"Wrote {path}")


def _figure(
    what: str, sources: tuple[Path, ...], out: Path, images: Path | None, model: str | None, network: str | None
) -> Path:
    from tunetseg.errors import InputError
    from tunetseg.report.paper_figures import draw_cascade, draw_results, draw_uncertainty, save_paper_figure
    from tunetseg.report.places import read_views

    if what == "figure1":
        return save_paper_figure(draw_cascade(*_network(model, network)), out)
    if images is None:
        raise InputError(f"{what} shows images; name their folder with --images")
    views = read_views(sources, images=images)
    if what == "figure4":
        return save_paper_figure(draw_results(views), out)
    if len(views) > 1:
        raise InputError(f"{what} shows one patient, but {len(views)} are given")
    return save_paper_figure(draw_uncertainty(views[0]), out)


def _network(model: str | None, name: str | None) -> "tuple[SegmentationNetwork, DatasetDescription, str]":
    from tunetseg.datasets import find_description
    from tunetseg.errors import InputError
    from tunetseg.models.store import load_network
    from tunetseg.models.zoo import find_models
    from tunetseg.networks import create_network

    if model is not None and name is not None:
        raise InputError("--model and --network are given; give one of the two")
    if name is not None:
        return create_network(name), find_description("brats2020"), name
    path, *others = find_models([] if model is None else [model])
    if others and model is not None:
        raise InputError(
            f"--model {model}: is the mean of {len(others) + 1} models; name one, such as robust/fold-0, or its file"
        )
    network, spec = load_network(path)
    return network, spec.dataset, spec.network.name
