"""Copy a cohort at half the resolution, for comparisons where most of the time would go into reading and writing.

    python benchmarks/halve_cohort.py COHORT OUT

Folders and names stay. A voxel of an image is the mean of eight, 0 where half of them or more are background (0); a
voxel of a label map (``*seg*``) has the label of most of the eight, the lower one of two as frequent.
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


def blocks(array: NDArray) -> NDArray:
    """Return the eight voxels of each block, shape (8, x // 2, y // 2, z // 2)."""
    x, y, z = (side // 2 for side in array.shape)
    split = array[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2)
    return split.transpose(1, 3, 5, 0, 2, 4).reshape(8, x, y, z)


def halved(path: Path) -> nib.Nifti1Image:
    """Return an image or label map at half its resolution."""
    image = nib.load(path)
    parts = blocks(np.asanyarray(image.dataobj))
    if "seg" in path.name:
        labels = np.unique(parts)
        result = labels[np.argmax([(parts == label).sum(0) for label in labels], axis=0)].astype(np.uint8)
    else:
        result = parts.mean(0, dtype=np.float32) * ((parts != 0).sum(0) > 4)
    affine = image.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    return nib.Nifti1Image(result, affine)


def main() -> None:
    """Copy every NIfTI file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for path in sorted(given.cohort.rglob("*.nii.gz")):
        target = given.out / path.relative_to(given.cohort)
        target.parent.mkdir(parents=True, exist_ok=True)
        nib.save(halved(path), target)


if __name__ == "__main__":
    main()
