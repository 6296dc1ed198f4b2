"""One description for the cases of several datasets."""

from collections import Counter
from collections.abc import Sequence

from tunetseg.datasets.case import Case
from tunetseg.datasets.description import DatasetDescription
from tunetseg.errors import InputError

__all__ = ["common_description"]


def common_description(cases: Sequence[Case]) -> DatasetDescription:
    """Return the description by which all cases of a cohort can be prepared: that of most of them.

    Datasets go together where they have the same channels, foreground and names of regions, such as the years of
    BraTS; the values of their labels may differ.

    Args:
        cases: A cohort, found by its files' names.

    Raises:
        InputError: The datasets do not go together, or no case says of which dataset it is.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> years = [find_description(name) for name in ("brats2019", "brats2023", "brats2023")]
        >>> common_description([Case(f"case{n}", {}, dataset=year) for n, year in enumerate(years)]).name
        'brats2023'
    """
    found = {case.dataset.name: case.dataset for case in cases if case.dataset}
    if not found:
        raise InputError("no case says of which dataset it is; name the dataset")
    counts = Counter(case.dataset.name for case in cases if case.dataset)
    most = found[min(counts, key=lambda name: (-counts[name], name))]
    for other in found.values():
        if _input_and_output(other) != _input_and_output(most):
            raise InputError(
                f"cases of {most.name} and of {other.name} are in one cohort, but their channels or regions differ; "
                "name the dataset, or separate them"
            )
    return most


def _input_and_output(description: DatasetDescription) -> tuple[object, ...]:
    channels = [(channel.name, channel.normalisation) for channel in description.channels]
    return channels, description.foreground, description.region_names
