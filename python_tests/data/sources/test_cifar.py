"""CIFAR folders, written here byte by byte as Python 2 and the C version did."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fctfast.data import no_progress, open_dataset


def text(value: str) -> bytes:
    raw = value.encode("latin-1")
    return (
        b"U" + bytes([len(raw)]) + raw
        if len(raw) < 256
        else b"T" + struct.pack("<i", len(raw)) + raw
    )


def integers(values: list[int]) -> bytes:
    return b"](" + b"".join(b"K" + bytes([value]) for value in values) + b"e"


def texts(values: list[str]) -> bytes:
    return b"](" + b"".join(text(value) for value in values) + b"e"


def array(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A NumPy array as cPickle of Python 2 wrote it: raw bytes inside a Python 2 string."""
    dtype = b"cnumpy\ndtype\n" + text("u1") + b"K\x00K\x01\x87R(K\x03" + text("|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(b"M" + struct.pack("<H", side) for side in pixels.shape) + b"\x86"
    start = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text("b") + b"\x87R"
    )
    raw = pixels.tobytes()
    state = b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    return start + state


def pickled(content: dict[str, bytes]) -> bytes:
    inside = b"".join(text(key) + value for key, value in content.items())
    return b"\x80\x02}q\x01(" + inside + b"u."


def rows(count: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8)


NAMES = ["airplane", *(f"class{number}" for number in range(1, 10))]


@pytest.fixture
def python_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number in range(1, 6):
        content = {
            "batch_label": text("training batch"),
            "labels": integers([number, 0, 9]),
            "data": array(rows(3, number)),
            "filenames": texts(["a.png", "b.png", "c.png"]),
        }
        (folder / f"data_batch_{number}").write_bytes(pickled(content))
    test = {"labels": integers([2, 3]), "data": array(rows(2, 99))}
    (folder / "test_batch").write_bytes(pickled(test))
    (folder / "batches.meta").write_bytes(pickled({"label_names": texts(NAMES)}))
    return folder


def test_the_python_version_is_read(python_folder: Path) -> None:
    for source in (python_folder, python_folder.parent):
        train = open_dataset(source, progress=no_progress)
        assert train.images.shape == (15, 32, 32, 3)
        assert train.labels.tolist() == [1, 0, 9, 2, 0, 9, 3, 0, 9, 4, 0, 9, 5, 0, 9]
        assert train.class_names == tuple(NAMES)
        pixels = rows(3, 2)[1].reshape(3, 32, 32)  # planes of red, green, blue
        np.testing.assert_array_equal(train.images[4].numpy(), pixels.transpose(1, 2, 0))
        test = open_dataset(source, split="test", progress=no_progress)
        assert test.labels.tolist() == [2, 3]
        assert test.name == "CIFAR-10 test"


def test_torchvision_reads_the_same(python_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: setattr(self, "classes", NAMES))
    theirs = CIFAR10(str(python_folder.parent))
    ours = open_dataset(python_folder, progress=no_progress)
    np.testing.assert_array_equal(ours.images.numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert open_dataset(theirs, progress=no_progress).fingerprint() == ours.fingerprint()


def test_the_binary_version_is_read(tmp_path: Path) -> None:
    for number in range(1, 6):
        labelled = np.hstack([np.array([[number], [7]], np.uint8), rows(2, number)])
        (tmp_path / f"data_batch_{number}.bin").write_bytes(labelled.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    made = open_dataset(tmp_path, progress=no_progress)
    assert made.labels.tolist() == [1, 7, 2, 7, 3, 7, 4, 7, 5, 7]
    assert made.class_names == tuple(NAMES)
    pixels = rows(2, 3)[1].reshape(3, 32, 32).transpose(1, 2, 0)
    np.testing.assert_array_equal(made.images[5].numpy(), pixels)
    with pytest.raises(FileNotFoundError, match=r"not complete: .*test_batch\.bin is missing"):
        open_dataset(tmp_path, split="test", progress=no_progress)
    (tmp_path / "data_batch_2.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: expected a multiple of 3073 bytes"):
        open_dataset(tmp_path, progress=no_progress)


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    content = {
        "coarse_labels": integers([1, 2]),
        "fine_labels": integers([98, 99]),
        "data": array(rows(2, 0)),
    }
    python = tmp_path / "cifar-100-python"
    python.mkdir()
    (python / "train").write_bytes(pickled(content))
    (python / "meta").write_bytes(
        pickled({"fine_label_names": texts([f"n{number}" for number in range(100)])})
    )
    made = open_dataset(tmp_path, progress=no_progress)
    assert made.labels.tolist() == [98, 99]
    assert made.class_names[99] == "n99"
    binary = tmp_path / "binary"
    binary.mkdir()
    labelled = np.hstack([np.array([[1, 98], [2, 99]], np.uint8), rows(2, 0)])
    (binary / "train.bin").write_bytes(labelled.tobytes())
    assert open_dataset(binary, progress=no_progress).fingerprint() == made.fingerprint()


def fails(folder: Path, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_dataset(folder, progress=no_progress)


def test_a_malicious_batch_is_refused_and_not_run(python_folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    call = b"cposix\nsystem\n(" + text(f"touch {marker}") + b"tR"
    good = {"labels": integers([1, 0, 9]), "data": array(rows(3, 0))}
    for content in ({**good, "data": call}, {**good, "extra": call}, {"labels": call}):
        (python_folder / "data_batch_3").write_bytes(pickled(content))
        fails(
            python_folder, r"data_batch_3: refused: it names posix\.system.*nothing in it was run"
        )
    assert not marker.exists()


def test_damaged_batches_are_told(python_folder: Path) -> None:
    batch = python_folder / "data_batch_3"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-50])
    fails(python_folder, r"data_batch_3: this pickle is damaged")
    contents: list[tuple[Any, str]] = [
        ({"labels": integers([1]), "data": array(rows(3, 0))}, r"uint8 data \[1, 3072\], got"),
        ({"labels": integers([1])}, "expected an array, got NoneType"),
        ({"data": array(rows(3, 0))}, "a CIFAR dict with 'data' and 'labels'"),
        ({"labels": integers([1, 0, 77]), "data": array(rows(3, 0))}, r"0\.\.9 .* got 0\.\.77"),
    ]
    for content, message in contents:
        batch.write_bytes(pickled(content))
        fails(python_folder, message)


def test_missing_names_become_numbers(python_folder: Path) -> None:
    (python_folder / "batches.meta").unlink()
    made = open_dataset(python_folder, progress=no_progress)
    assert made.class_names == tuple("0123456789")
