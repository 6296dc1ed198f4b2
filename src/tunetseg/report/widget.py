"""A result as a viewer in a notebook."""

import base64
from typing import Any

from tunetseg.errors import InputError
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io.extras import need
from tunetseg.report.palette import UNCERTAINTY_MAP, region_colours, rgb
from tunetseg.report.slices import BACKGROUND_CHANNEL, display_limits
from tunetseg.report.view import view_of
from tunetseg.report.voxels import pack, pack_images

__all__ = ["make_widget"]


def make_widget(result: Segmentation) -> Any:
    """Return a widget of ipyniivue that shows one image, the regions, and the uncertainty of the outermost region.

    The uncertainty is loaded but transparent; raise the opacity of ``widget.volumes[2]`` to see it.

    Args:
        result: With its images.

    Raises:
        InputError: ipyniivue is not installed, or the result has no images.
    """
    ipyniivue = need("ipyniivue", "notebook", "a viewer in a notebook")
    view = view_of(result)
    names = [name for name in view.dataset.channel_names if name not in view.missing]
    if view.images is None or not names:
        raise InputError(f"{result.case}: has no images to show; use plot for the labels alone")
    shown = BACKGROUND_CHANNEL if BACKGROUND_CHANNEL in names else names[0]
    number = view.dataset.channel_names.index(shown)
    low, high = display_limits(view.images[number], view.dataset.channels[number])
    frame, (image,) = pack_images([view.images[number]], view.grid, view.seen)
    colours = [(0, 0, 0), *map(rgb, region_colours(len(view.dataset.regions)))]
    red, green, blue = (list(part) for part in zip(*colours, strict=True))
    table = {
        "R": red,
        "G": green,
        "B": blue,
        "A": [0, *[255] * (len(colours) - 1)],
        "I": list(range(len(colours))),
        "labels": ["", *(view.scheme.values[value] for value in view.scheme.exclusive_labels)],
    }
    widget = ipyniivue.NiiVue(height=480)
    layers: list[dict[str, Any]] = [
        {"data": image.data, "name": f"{shown}.nii.gz", "colormap": "gray", "cal_min": low, "cal_max": high},
        {"data": pack(view.nesting, frame, labels=True).data, "name": "regions.nii.gz", "opacity": 0.6},
    ]
    if view.uncertainty is not None:
        unsure = {"name": "uncertainty.nii.gz", "colormap": UNCERTAINTY_MAP, "opacity": 0.0, "cal_max": 100.0}
        layers.append({"data": pack(view.uncertainty[0], frame).data, "cal_min": 1.0, **unsure})
    widget.load_volumes([{**layer, "data": base64.b64decode(str(layer["data"]))} for layer in layers])
    widget.volumes[1].set_colormap_label(table)
    return widget
