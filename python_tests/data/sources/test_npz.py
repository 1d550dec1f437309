""".npz files: ours, Keras's, and the wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fctfast import io
from fctfast.data import memory, no_progress, open_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def opened(path: Path, **arrays: Any) -> Any:
    io.write_arrays(path, arrays)
    return open_dataset(path, progress=no_progress)


def test_ids_paths_and_names_of_the_file_hold(tmp_path: Path) -> None:
    names, paths = np.array(["cat", "dog", "猫"]), np.array([f"p{number}" for number in range(6)])
    ids = np.array([9, 4, 5, 7, 1, 0])
    made = opened(
        tmp_path / "a.npz", images=IMAGES, labels=LABELS, ids=ids, class_names=names, paths=paths
    )
    np.testing.assert_array_equal(made.images.numpy(), IMAGES)
    assert made.ids.tolist() == ids.tolist()
    assert made.class_names == ("cat", "dog", "猫")
    assert made.paths == tuple(paths)


def test_a_folder_of_splits_is_a_set(tmp_path: Path) -> None:
    opened(tmp_path / "train.npz", images=IMAGES, labels=LABELS)
    opened(tmp_path / "val.npz", images=IMAGES[:2], labels=LABELS[:2])
    assert len(open_dataset(tmp_path, progress=no_progress)) == 6
    assert len(open_dataset(tmp_path, split="test", progress=no_progress)) == 2
    (tmp_path / "val.npz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"expected test\.npz or val\.npz, found train\.npz"
    ):
        open_dataset(tmp_path, split="test", progress=no_progress)


def test_other_layouts_are_understood(tmp_path: Path) -> None:
    first = opened(tmp_path / "a.npz", images=IMAGES, labels=LABELS.astype(np.uint8))
    planes = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
    second = opened(tmp_path / "b.npz", x_train=planes, y_train=LABELS[:, None])
    assert second.fingerprint() == first.fingerprint()
    grey = opened(tmp_path / "c.npz", data=IMAGES[..., 0], targets=LABELS)
    assert grey.channels == 1
    assert grey.class_names == ("0", "1", "2")


def test_a_file_without_splits_has_no_test_set(tmp_path: Path) -> None:
    opened(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(FileNotFoundError, match=r"one set without splits.*use --split train"):
        open_dataset(tmp_path / "a.npz", split="test", progress=no_progress)
    (tmp_path / "a.npz").rename(tmp_path / "test.npz")
    assert len(open_dataset(tmp_path / "test.npz", split="test", progress=no_progress)) == 6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "expected arrays 'images' and 'labels', found images"),
        ({"images": IMAGES / 255, "labels": LABELS}, r"uint8 \(0\.\.255\), got float64"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, r"expected images \[N, H, W, C\], got"),
        ({"images": IMAGES, "labels": LABELS / 2}, r"integer labels \[N\], got float64"),
        ({"images": IMAGES, "labels": LABELS - 1}, "not be negative, got -1"),
        ({"images": IMAGES, "labels": LABELS[:2]}, "6 images but 2 labels"),
        ({"images": IMAGES, "labels": LABELS * 0}, "found one class"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no image could be read"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, arrays: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opened(tmp_path / "a.npz", **arrays)


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((100, 100, 100, 3), np.uint8))
    monkeypatch.setattr(memory, "available_memory", lambda: 4_000_000)
    monkeypatch.setattr(io, "read_arrays", None)
    with pytest.raises(ValueError, match=r"a\.npz: takes 0\.0 GiB decoded"):
        open_dataset(tmp_path / "a.npz", progress=no_progress)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([None, 1]), labels=LABELS)
    with pytest.raises(ValueError, match="pickled objects are refused"):
        open_dataset(tmp_path / "a.npz", progress=no_progress)
