"""Ways to damage the inputs of `fuzz_valid.py`."""

import csv
import gzip
import io
import json
import math
import os
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fuzz_valid import CHANNELS

__all__ = [
    "Damage",
    "damage_bytes",
    "damage_checkpoint",
    "damage_claims",
    "damage_dicom",
    "damage_header",
    "damage_model",
    "damage_other",
    "damage_pack",
    "damage_result",
    "damage_table",
    "damage_text",
    "either",
    "odd_place",
]

Damage = Callable[[Path, random.Random], dict[str, Path]]
"""From a folder of valid inputs, one of which is damaged in place, to the paths that the program is given."""

DEEP = "[" * 20_000 + "]" * 20_000
HUGE = "9" * 400
TEXTS = (
    "null",
    "true",
    "-1",
    "0",
    "1e-9",
    "0.3",
    "1e300",
    "1e999",
    "NaN",
    "nan",
    "inf",
    HUGE,
    DEEP,
    '""',
    '"8"',
    "[]",
    "{}",
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**40, 2**63, 10**400, 1e-9, 0.2, 0.3, 1e300, float("inf"), float("nan"), "",
    "8", "x" * 5000, "\x1b[2J", "../../etc", [], {}, [[]], [8.0, 8.0, 8.0], [1024] * 3, [512] * 3, [2**40] * 3,
    ["a", "a"],
)  # fmt: skip


def flip(raw: bytes, rng: random.Random, *, head: int = 600) -> bytes:
    """Return bytes with some of them changed, lost, added or exchanged."""
    if not raw:
        return rng.randbytes(rng.randrange(1, 500))
    data, end = bytearray(raw), len(raw)
    begin = rng.randrange(min(end, head) if rng.random() < 0.5 else end)
    length = rng.choice((1, 2, 4, 8, 64))
    what = rng.randrange(8)
    if what == 0:
        return bytes(data[:begin])
    if what == 1:
        data[begin : begin + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
    elif what == 2:
        data[begin:begin] = rng.randbytes(length)
    elif what == 3:
        del data[begin : begin + length]
    elif what == 4:
        data += rng.choice((b"\0" * 100, bytes(data[:1000]), rng.randbytes(5000)))
    elif what == 5:
        data[begin : begin + 8] = struct.pack("<d", rng.choice((float("nan"), 1e30, -1.0, 0.0)))
    else:
        for _ in range(rng.choice((1, 1, 3, 8))):
            data[rng.randrange(min(end, head) if rng.random() < 0.5 else end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def change_tree(tree: Any, rng: random.Random) -> Any:
    """Return JSON data with one value exchanged, doubled, renamed or left out."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        what = rng.random()
        if what < 0.1:
            return {name: value for name, value in tree.items() if name != key}
        if what < 0.2:
            return {**tree, rng.choice(("new", "", "\x1b", key + "x")): tree[key]}
        return {**tree, key: change_tree(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        place = rng.randrange(len(tree))
        changed = [*tree]
        changed[place : place + 1] = rng.choice(([], [tree[place]] * 2, [change_tree(tree[place], rng)]))
        return changed
    return rng.choice(ODD)


def change_text(text: str, rng: random.Random) -> str:
    """Return text with the value of one line changed, or with damaged bytes."""
    if rng.random() < 0.3:
        return flip(text.encode(), rng, head=len(text)).decode(errors="replace")
    lines = text.splitlines()
    place = rng.randrange(len(lines))
    lines[place] = re.sub(r"([=:,] *)[^=:,]*$", lambda match: match[1] + rng.choice(TEXTS), lines[place])
    return "\n".join(lines) + "\n"


_HEADER = [(40 + 2 * n, "h") for n in range(8)] + [(offset, "f") for offset in (*range(56, 69, 4), *range(76, 120, 4))]
_HEADER += [(70, "h"), (72, "h"), (123, "b"), (252, "h"), (254, "h"), *((offset, "f") for offset in range(256, 328, 4))]
_VALUES = (
    0, 1, -1, 2, 3, 7, 8, 16, 64, 512, 100, 300, 1000, 32767, -32768, 1e-9, 0.05, 0.5, 5, 25, 1e9, 1e30, -1e30,
    float("nan"), float("inf"),
)  # fmt: skip


def damage_header(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Change fields of one header, or of all four alike."""
    order = rng.choice("<<<>")
    changes = [(*rng.choice(_HEADER), rng.choice(_VALUES)) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    suffix = rng.choice((".nii", ".nii.gz"))
    chosen = CHANNELS if rng.random() < 0.6 else (rng.choice(CHANNELS),)
    paths = {channel: folder / f"p_{channel}.nii.gz" for channel in CHANNELS}
    for channel in chosen:
        raw = bytearray(gzip.decompress(paths[channel].read_bytes()))
        for offset, kind, value in changes:
            most = {"f": float("inf"), "h": 32767, "b": 127}[kind]
            number = value if kind == "f" else 0 if math.isnan(value) else int(max(-most - 1, min(most, value)))
            raw[offset : offset + struct.calcsize(kind)] = struct.pack(order + kind, number)
        paths[channel] = folder / f"q_{channel}{suffix}"
        paths[channel].write_bytes(gzip.compress(raw, 1) if suffix == ".nii.gz" else raw)
    return paths


def damage_bytes(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage a file, before or after it was compressed."""
    paths = {channel: folder / f"p_{channel}.nii.gz" for channel in CHANNELS}
    channel = rng.choice(CHANNELS)
    packed = paths[channel].read_bytes()
    how = rng.randrange(3)
    raw = flip(gzip.decompress(packed), rng) if how else b""
    paths[channel] = folder / f"q_{channel}{'.nii' if how == 2 else '.nii.gz'}"
    paths[channel].write_bytes((flip(packed, rng, head=20), gzip.compress(raw, 1), raw)[how])
    return paths


def damage_claims(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Small files that announce, or unpack to, more than there is."""
    header = nib.Nifti1Header()
    header.set_data_dtype(rng.choice((np.uint8, np.int16, np.float32, np.float64)))
    shapes = (
        (1500, 1000, 1000),
        (32767, 32767, 1),
        (1024, 1024, 512),
        (512, 512, 600),
        (400, 400, 200),
        (400, 400, 200, 4),
    )
    shape = rng.choice((*shapes, (400, 400, 200, 4)))
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    mebibytes = rng.choice((0, 0, 1, 64, 256))
    start = header.binaryblock + b"\0" * 4 + rng.randbytes(100)
    paths = {channel: folder / f"p_{channel}.nii.gz" for channel in CHANNELS}
    chosen = CHANNELS if rng.random() < 0.5 else ("t1",)
    packed = rng.random() < 0.8
    content = b"".join((gzip.compress(start), gzip.compress(bytes(2**20), 1) * mebibytes)) if packed else start
    for channel in chosen:
        paths[channel] = folder / f"q_{channel}{'.nii.gz' if packed else '.nii'}"
        paths[channel].write_bytes(content)
    return paths


_OTHERS = (
    "other.mgz", "other.img", "other.hdr", "spm.mat", "pair.hdr", "pair.img", "second.nii.gz", "other.mha",
    "packed.mha", "two.mhd", "other.nrrd", "packed.nrrd", "two.nhdr",
)  # fmt: skip


def damage_other(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage an image of another format than NIfTI-1 in one file."""
    name = rng.choice(_OTHERS)
    path = folder / name
    content = path.read_bytes()
    is_text = path.suffix in {".mha", ".mhd", ".nrrd", ".nhdr"} and rng.random() < 0.6
    for _ in range(rng.choice((1, 1, 2, 3))):
        if is_text:
            mark = content.find(b"ElementDataFile") if path.suffix in {".mha", ".mhd"} else content.find(b"\n\n")
            text = content[:mark] if mark >= 0 else content
            content = change_text(text.decode("latin-1") or "\n", rng).encode("utf-8") + content[len(text) :]
        elif path.suffix in {".mgz", ".gz"} and rng.random() < 0.7:
            content = gzip.compress(flip(gzip.decompress(content), rng, head=540), 1)
        else:
            content = flip(content, rng, head=400)
            break  # what was compressed may no longer be
    path.write_bytes(content)
    return {"image": folder / ("spm.img" if name == "spm.mat" else name)}


def damage_model(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage a model file: its bytes, its weights or its spec."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    if rng.random() < 0.4:
        path.write_bytes(flip(path.read_bytes(), rng, head=6000))
        return {"model": path}
    with safe_open(path, "pt") as file:
        spec = json.loads(file.metadata()["spec"])
    spec.pop("file_sha256")
    tensors = load_file(path)
    if rng.random() < 0.75:
        spec = change_tree(spec, rng)
    else:
        name = rng.choice(list(tensors))
        factor = rng.choice((1e10, 1e30, 0.0, float("nan"), -1.0))
        tensors[name] = tensors[name] * factor if rng.random() < 0.7 else tensors[name].to(rng.choice(_types()))
    save_file(tensors, path, metadata={"spec": DEEP if rng.random() < 0.02 else json.dumps(spec)})
    return {"model": path}


def _types() -> tuple[Any, ...]:
    import torch

    return torch.bool, torch.int32, torch.float16, torch.float64


def damage_text(name: str) -> Damage:
    """Return the damage of a text file."""

    def damage(folder: Path, rng: random.Random) -> dict[str, Path]:
        path = folder / name
        text = path.read_text()
        if path.suffix == ".json" and rng.random() < 0.7:
            tree = json.loads(text)
            for _ in range(rng.choice((1, 1, 2))):
                tree = change_tree(tree, rng)
            text = json.dumps(tree)
        else:
            text = change_text(text, rng)
        path.write_text(text, errors="surrogatepass")
        return {"file": path}

    return damage


def either(*choices: Damage) -> Damage:
    """Return one of several kinds of damage, chosen at random."""
    return lambda folder, rng: rng.choice(choices)(folder, rng)


def damage_table(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage a table of scores or its summary."""
    path = folder / "scores.csv"
    if rng.random() < 0.2:
        damage_text("scores.json")(folder, rng)
        return {"file": path}
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row = rng.choice(rows)
    values = ("inf", "-1", "2", "1e999", "1_0", "٣", "nan", "", "x", "\x1b[2J", "a,b", '"', "1e308", "\n", "\u2028")
    row[rng.randrange(len(row))] = rng.choice(values)
    if rng.random() < 0.3:
        del row[rng.randrange(len(row)) :]
    text = "\n".join(",".join(row) for row in rows)
    path.write_bytes(flip(path.read_bytes(), rng, head=200) if rng.random() < 0.4 else text.encode())
    if rng.random() < 0.5:  # as if the table had no checksum, as one of another program
        summary = json.loads((folder / "scores.json").read_text())
        (folder / "scores.json").write_text(json.dumps({"rules": summary.get("rules")}))
    return {"file": path}


_KEYWORDS = (
    "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "RescaleSlope",
    "ImageOrientationPatient", "BitsAllocated", "SamplesPerPixel", "EchoTime", "SeriesNumber",
)  # fmt: skip
_TAG_VALUES = (0, 1, 7, 65535, "-1", "1e308", "nan", "", "x" * 70, ["1", "2", "3"], ["0", "0"], ["1e9", "1e9"])


def damage_dicom(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage a DICOM series or its archive."""
    import pydicom

    if rng.random() < 0.15:
        path = folder / "dicom.zip"
        path.write_bytes(flip(path.read_bytes(), rng))
        return {"place": path}
    chosen = sorted((folder / "dicom").iterdir())
    if rng.random() < 0.3:  # one bit of all files, which still belong together
        place, bit = rng.randrange(132, 700), 1 << rng.randrange(8)
        for path in chosen:
            raw = bytearray(path.read_bytes())
            raw[place] ^= bit
            path.write_bytes(raw)
        return {"place": folder / "dicom"}
    chosen = chosen if rng.random() < 0.4 else [rng.choice(chosen)]
    keyword, value = rng.choice(_KEYWORDS), rng.choice(_TAG_VALUES)
    for path in chosen:
        if rng.random() < 0.5 and len(chosen) == 1:
            path.write_bytes(flip(path.read_bytes(), rng, head=1200))
            continue
        try:
            with pydicom.config.disable_value_validation():
                dataset = pydicom.dcmread(path)
                setattr(dataset, keyword, value)
                dataset.save_as(path)
        except Exception:  # a value that pydicom does not write; the file stays as it is
            continue
    return {"place": folder / "dicom"}


def damage_pack(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage a part of a pack."""
    path = next((folder / "pack").iterdir())
    raw = path.read_bytes()
    if rng.random() < 0.5:
        path.write_bytes(flip(raw, rng, head=3000))
        return {"place": folder / "pack"}
    from hashlib import sha256

    length = int.from_bytes(raw[8:16], "little")
    header = json.dumps(change_tree(json.loads(raw[48 : 48 + length]), rng)).encode()
    start = raw[:8] + len(header).to_bytes(8, "little") + sha256(header).digest()
    path.write_bytes(start + header + raw[48 + length :])
    return {"place": folder / "pack"}


def damage_checkpoint(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Flip bits of a checkpoint."""
    path = folder / "last.safetensors"
    before = path.read_bytes()
    while (after := flip(before, rng, head=800)) == before:
        pass
    path.write_bytes(after)
    return {"file": path}


def damage_result(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Damage the manifest or a map of a saved result."""
    chosen = [path for path in sorted((folder / "results").iterdir()) if path.suffix in {".json", ".gz"}]
    path = rng.choice([path for path in chosen if (path.suffix == ".json") == (rng.random() < 0.7)] or chosen)
    if path.suffix == ".json":
        damage_text(str(path.relative_to(folder)))(folder, rng)
    else:
        path.write_bytes(gzip.compress(flip(gzip.decompress(path.read_bytes()), rng), 1))
    return {"place": folder / "results"}


def odd_place(folder: Path, rng: random.Random) -> dict[str, Path]:
    """Pipes, devices, links without end, folders, and names that are too long or control a terminal."""
    paths = {channel: folder / f"p_{channel}.nii.gz" for channel in CHANNELS}
    place = folder / rng.choice(("q_t1.nii.gz", "q_t1.nii", "\x1b]0;x\x07_t1.nii.gz", "é" * 60 + "_t1.nii.gz"))
    what = rng.randrange(6)
    if what == 0:
        os.mkfifo(place)
    elif what == 1:
        place.symlink_to(place)
    elif what == 2:
        place = Path(rng.choice(("/dev/zero", "/dev/null", "/dev/full")))
    elif what == 3:
        place.mkdir()
    elif what == 4:
        place = folder / ("n" * rng.choice((230, 255, 300, 5000)) + "_t1.nii.gz")
    else:
        place.write_bytes(rng.choice((b"", b"x", paths["t1"].read_bytes())))
    return {**paths, "t1": place, "file": place}
