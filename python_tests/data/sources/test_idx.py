"""IDX files, plain and gzipped, whole and damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fctfast.data import memory, no_progress, open_dataset
from fctfast.data.sources.idx import read_idx


def idx(array: Any) -> bytes:
    sides = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.astype(np.uint8).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
LABELS = np.array([0, 9, 1, 2, 3, 4, 5])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "fashion-mnist"
    made.mkdir()
    (made / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (made / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    (made / "t10k-images.idx3-ubyte").write_bytes(idx(IMAGES[:2]))
    (made / "t10k-labels.idx1-ubyte").write_bytes(idx(LABELS[:2]))
    return made


def test_plain_and_gzipped_files_are_read(folder: Path) -> None:
    train = open_dataset(folder, progress=no_progress)
    np.testing.assert_array_equal(train.images[..., 0].numpy(), IMAGES)
    assert train.labels.tolist() == LABELS.tolist()
    assert train.class_names[9] == "Ankle boot"
    test = open_dataset(folder, split="test", progress=no_progress)
    assert len(test) == 2
    raw = folder.parent / "root" / "FashionMNIST" / "raw"
    raw.parent.mkdir(parents=True)
    folder.rename(raw)
    root = open_dataset(raw.parents[1], progress=no_progress)
    assert root.fingerprint() == train.fingerprint()


def test_limit_and_size_apply(folder: Path) -> None:
    made = open_dataset(folder, limit=3, image_size=8, progress=no_progress)
    assert made.images.shape == (3, 8, 8, 1)
    assert set(made.ids.tolist()) < set(range(7))


def test_other_digits_have_numbers(folder: Path) -> None:
    renamed = folder.rename(folder.parent / "mnist")
    made = open_dataset(renamed, progress=no_progress)
    assert made.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file"),
        (idx(IMAGES)[:3], "is no IDX file"),
        (b"\0\0\x0d\x01\0\0\0\1\0\0\0\0", "is no IDX file of unsigned bytes"),
        (idx(IMAGES)[:9], "truncated inside its header"),
        (idx(IMAGES)[:-1], r"promises 140 bytes \(shape \[7, 5, 4\]\) and it holds 139"),
        (idx(IMAGES) + b"\0", "and it holds more"),
    ],
)
def test_damage_is_told(folder: Path, content: bytes, message: str) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)


def test_damaged_gzip_is_told(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    wrong = bytearray(whole)
    wrong[-6] ^= 1  # its checksum
    for content in (whole[:-4], bytes(wrong), b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read"):
            read_idx(path)


def test_a_header_that_claims_too_much_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 30)
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2, 1))
    with pytest.raises(ValueError, match=r"claims shape \[2147483648, 2, 1\]: takes 4\.0 GiB"):
        read_idx(path)


def test_missing_and_unequal_files_are_told(folder: Path) -> None:
    (folder / "t10k-labels.idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="no test labels: expected t10k-labels-idx1-ubyte"):
        open_dataset(folder, split="test", progress=no_progress)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:3]))
    with pytest.raises(ValueError, match="3 images but 7 labels"):
        open_dataset(folder, progress=no_progress)
    (folder / "train-images-idx3-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(ValueError, match=r"expected images \[N, H, W\]"):
        open_dataset(folder, progress=no_progress)
