"""The files of a pack: codes come back to half a step, and what is damaged or invalid is refused."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunetseg.errors import InputError
from tunetseg.preparation.pack import Pack
from tunetseg.preparation.pack_format import (
    Entry,
    Header,
    begins_like_a_part,
    decode,
    encode,
    part_name,
    part_overhead,
    quantise,
    read_header,
    read_payload,
    restore,
    write_part,
)


@given(
    arrays(
        np.float16,
        st.tuples(st.integers(1, 3), *[st.integers(1, 5)] * 3),
        elements=st.floats(-200, 200, width=16) | st.just(0.0),
    )
)
def test_any_image_comes_back_to_half_a_step(image: np.ndarray) -> None:
    codes, scale, offset = quantise(image)
    nesting = np.arange(image[0].size, dtype=np.uint8).reshape(image.shape[1:]) % 4
    unpacked, inside = decode(encode(codes, nesting), len(image), image.shape[1:])
    assert np.array_equal(unpacked, codes)
    assert np.array_equal(inside, nesting)
    for dtype, rounding in ((np.float32, 1e-6), (np.float16, 1e-3)):
        restored = restore(codes, scale, offset, dtype)
        assert restored.dtype == dtype
        assert np.array_equal(restored == 0, image == 0)
        for before, after, step in zip(image.astype(np.float64), restored.astype(np.float64), scale, strict=True):
            assert np.all(np.abs(before - after) <= step / 2 + rounding * (1 + np.abs(before)))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A part with two cases of two channels, 5x4x3 voxels."""
    generator = np.random.default_rng(0)
    entries, payloads = [], []
    begin = 0
    for number in range(2):
        codes, scale, offset = quantise(generator.normal(size=(2, 5, 4, 3)))
        payload = encode(codes, generator.integers(0, 3, (5, 4, 3), np.uint8))
        payloads.append(tmp_path / f"{number}.payload")
        payloads[-1].write_bytes(payload)
        entries.append(
            Entry(
                id=f"case{number}",
                patient=None,
                site="",
                grade=None,
                dataset=None,
                source="0" * 64,
                shape=(5, 4, 3),
                scale=scale,
                offset=offset,
                begin=begin,
                size=len(payload),
                sha256=hashlib.sha256(payload).hexdigest(),
            )
        )
        begin += len(payload)
    header = Header(
        format=1,
        software="1.0",
        pack="0" * 64,
        part=1,
        parts=1,
        description={},
        datasets={},
        spacing=2.0,
        denoise=False,
        channels=("a", "b"),
        regions=("r",),
        cases=tuple(entries),
    )
    write_part(tmp_path / part_name(1, 1), header, payloads)
    return tmp_path / part_name(1, 1)


def test_what_is_written_is_read(part: Path) -> None:
    header, begin = read_header(part)
    assert [entry.id for entry in header.cases] == ["case0", "case1"]
    assert begins_like_a_part(part)
    assert part.stat().st_size <= part_overhead(header) + sum(entry.size for entry in header.cases)
    generator = np.random.default_rng(0)
    for entry in header.cases:
        image, nesting = generator.normal(size=(2, 5, 4, 3)), generator.integers(0, 3, (5, 4, 3), np.uint8)
        codes, inside = read_payload(part, begin, entry, 2)
        assert np.array_equal(inside, nesting)
        assert np.abs(restore(codes, entry.scale, entry.offset) - image).max() <= max(entry.scale) / 2 + 1e-6


def test_names_sort_as_their_numbers() -> None:
    assert part_name(1, 1) == "part-1-of-1.tunetpack"
    assert [part_name(number, 12) for number in (2, 10)] == ["part-02-of-12.tunetpack", "part-10-of-12.tunetpack"]


def test_a_channel_without_foreground_or_contrast() -> None:
    image = np.zeros((2, 2, 1, 1), np.float32)
    image[1, 0] = 3.5
    codes, scale, offset = quantise(image)
    assert np.array_equal(restore(codes, scale, offset), image)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda content: content[:-1], "is cut off"),
        (lambda content: content[:200], "header is damaged or cut off"),
        (lambda content: content[:20], "header is damaged or cut off"),
        (lambda content: content[:60] + b"?" + content[61:], "header is damaged"),
        (lambda content: content[:15] + b"\xff" + content[16:], "header is damaged"),
        (lambda content: b"", "not a part of a pack"),
        (lambda content: b"PK" + content[2:], "not a part of a pack"),
    ],
)
def test_a_damaged_part_is_named(part: Path, damage, fault: str) -> None:
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(InputError, match=fault) as caught:
        read_header(part)
    assert str(part) in str(caught.value)


def rewritten(part: Path, **changes: object) -> None:
    """Change the header of a part, with a checksum that is right."""
    header, begin = read_header(part)
    payloads = part.read_bytes()[begin:]
    raw = msgspec.to_builtins(header) | changes
    encoded = msgspec.json.encode(raw)
    part.write_bytes(
        b"TUNETPCK" + len(encoded).to_bytes(8, "little") + hashlib.sha256(encoded).digest() + encoded + payloads
    )


def test_newer_and_invalid_parts_are_refused(part: Path) -> None:
    rewritten(part, format=2, cases="in a way of tomorrow")
    with pytest.raises(InputError, match="format 2, but this version reads up to 1; update tunetseg"):
        read_header(part)
    rewritten_format = msgspec.json.encode({"format": 1, "cases": 3})
    part.write_bytes(
        b"TUNETPCK"
        + len(rewritten_format).to_bytes(8, "little")
        + hashlib.sha256(rewritten_format).digest()
        + rewritten_format
    )
    with pytest.raises(InputError, match="its header is invalid"):
        read_header(part)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../elsewhere"},
        {"shape": [4, 0, 4]},
        {"sha256": "x"},
        {"size": -1},
        {"scale": [1.0]},
        {"offset": []},
        {"scale": [1.0, 300.0]},
        {"offset": [-1e300, 0.0]},
    ],
)
def test_headers_that_would_do_harm_are_refused(part: Path, change: dict) -> None:
    cases = msgspec.to_builtins(read_header(part)[0].cases)
    rewritten(part, cases=[cases[0] | change, *cases[1:]])
    with pytest.raises(InputError, match="its header is invalid"):
        read_header(part)


def test_millions_of_missing_parts_are_not_all_named(part: Path) -> None:
    rewritten(part, parts=50_000_000)
    with pytest.raises(InputError, match="pack is incomplete, part-00000002-of-50000000") as caught:
        Pack(part.parent)
    assert str(caught.value).count(".tunetpack") == 9
    assert " and others are missing; copy them" in str(caught.value)


def test_a_payload_of_another_size_is_refused(part: Path) -> None:
    cases = msgspec.to_builtins(read_header(part)[0].cases)
    for shape in ([1, 1, 1], [500, 500, 500]):
        rewritten(part, cases=[cases[0] | {"shape": shape}, *cases[1:]])
        header, begin = read_header(part)
        with pytest.raises(InputError, match=f"case {cases[0]['id']} is invalid"):
            read_payload(part, begin, header.cases[0], 2)


def test_a_payload_of_another_program_is_refused() -> None:
    with pytest.raises(ValueError, match=r"orrupt|bytes in place of"):
        decode(b"\xff" * 100, 1, (2, 2, 2))


def test_a_missing_file_is_an_error(part: Path) -> None:
    header, begin = read_header(part)
    part.unlink()
    assert not begins_like_a_part(part)
    with pytest.raises(InputError, match="there is no such file"):
        read_header(part)
    with pytest.raises(InputError, match="case case0 cannot be read"):
        read_payload(part, begin, header.cases[0], 2)
