"""Class folders: every file one row, ids that stay, splits found; the same from a .zip."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fctfast.data import ImageSet, no_progress, open_dataset
from fctfast.data import class_folders as class_folders_module
from fctfast.data.class_folders import open_class_folders
from fctfast.data.decode import DecodeError, decode_image
from fctfast.data.decode_pool import BadFile, Job, Result
from fctfast.data.request import Request
from fctfast.data.stores import Child, Prefix

QUIET = Request(progress=no_progress)


class Tree:
    """A store in memory: {"class/file.png": bytes}."""

    name = "tree"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {tuple(path.split("/")): data for path, data in files.items()}

    def children(self, prefix: Prefix) -> list[Child]:
        found: dict[str, Child] = {}
        for path in self.files:
            if path[: len(prefix)] == prefix and len(path) > len(prefix):
                kind: Any = "file" if len(path) == len(prefix) + 1 else "folder"
                found[path[len(prefix)]] = Child(path[len(prefix)], kind)
        return list(found.values())

    def read(self, prefix: Prefix, child: Child) -> bytes | BadFile:
        return self.files[(*prefix, child.name)]


def decode_here(
    jobs: Iterable[Job], *, size: tuple[int, int] | None = None, workers: int = 1
) -> Generator[Result, None, None]:
    """What decode_stream does, without processes and in reversed order."""
    for key, data in reversed(list(jobs)):
        try:
            yield key, np.array(decode_image(data, size)) if isinstance(data, bytes) else data
        except DecodeError as error:  # noqa: PERF203  (a file at a time is the point)
            yield key, BadFile(str(error))


names = st.text(st.sampled_from("ab1.-_ üZ"), min_size=1, max_size=4).filter(
    lambda name: not name.startswith(".")
)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_ids_are_given_once_and_stay_when_files_go_bad(
    data: st.DataObject, encode: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_folders_module, "decode_stream", decode_here)
    classes = data.draw(st.lists(names, min_size=2, max_size=4, unique=True))
    paths = [
        f"{name}/{file}.png"
        for name in classes
        for file in data.draw(st.lists(names, min_size=1, max_size=5, unique=True))
    ]
    good = {path: encode(number) for number, path in enumerate(paths)}
    broken = data.draw(st.sets(st.sampled_from(paths), max_size=len(paths) - 1))
    whole = open_class_folders(Tree(good), QUIET)
    hurt = open_class_folders(
        Tree({path: b"" if path in broken else content for path, content in good.items()}), QUIET
    )
    assert whole.ids.tolist() == list(range(len(paths)))
    assert sorted([*hurt.ids.tolist(), *(row.id for row in hurt.quarantined)]) == whole.ids.tolist()
    assert {row.path for row in hurt.quarantined} == broken
    same = whole.subset(hurt.ids)
    assert same.fingerprint() == hurt.fingerprint()
    assert same.paths == hurt.paths
    assert whole.paths is not None
    for position, path in enumerate(whole.paths):
        assert whole.class_names[int(whole.labels[position])] == path.split("/")[0]
        expected = np.array(decode_image(good[path]))
        np.testing.assert_array_equal(whole.images[position].numpy(), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 250), st.integers(1, 250), st.integers(0, 5))
def test_a_smaller_draw_is_part_of_a_larger_one(
    count: int, first: int, second: int, seed: int
) -> None:
    small, large = sorted((first, second))
    few = Request(limit=small, seed=seed).rows(count).tolist()
    many = Request(limit=large, seed=seed).rows(count).tolist()
    assert len(few) == min(small, count)
    assert few == sorted(set(few))
    assert set(few) <= set(many) <= set(range(count))


def test_a_drawn_sample_keeps_its_id(class_folder: Callable[..., Path]) -> None:
    root = class_folder({"a": 20, "b": 20})
    whole = open_dataset(root, progress=no_progress)
    drawn = open_dataset(root, limit=13, seed=3, progress=no_progress)
    assert len(drawn) == 13
    assert drawn.fingerprint() == whole.subset(drawn.ids).fingerprint()
    other = open_dataset(root, limit=13, seed=4, progress=no_progress)
    assert other.ids.tolist() != drawn.ids.tolist()


def test_a_zip_has_the_ids_of_its_folder(
    class_folder: Callable[..., Path], zip_of: Callable[..., Path], tmp_path: Path
) -> None:
    root = class_folder({"cat": 4, "a-b": 2, "a": 3})
    (root / "a" / "deep").mkdir()
    (root / "a" / "000.png").rename(root / "a" / "deep" / "x.png")
    (root / "cat" / "002.png").write_bytes(b"")
    from_folder = open_dataset(root, progress=no_progress)
    for path in (
        zip_of(root, tmp_path / "flat.zip"),
        zip_of(root, tmp_path / "below.ZIP", under="set/"),
        zip_of(root, tmp_path / "inner.zip", under="x/y/") / "x" / "y",
    ):
        from_zip = open_dataset(path, progress=no_progress)
        assert from_zip.fingerprint() == from_folder.fingerprint()
        assert from_zip.class_names == ("a", "a-b", "cat")
        assert [row.id for row in from_zip.quarantined] == [7]


def test_splits_are_found_and_agree_on_labels(
    class_folder: Callable[..., Path], zip_of: Callable[..., Path], tmp_path: Path
) -> None:
    root = class_folder({"cat": 1, "dog": 2}, under="top/set/train").parent
    class_folder({"dog": 1, "eel": 3}, under="top/set/val")
    for source in (root, root.parent, zip_of(root.parent, tmp_path / "a.zip")):
        train = open_dataset(source, progress=no_progress)
        test = open_dataset(source, split="test", progress=no_progress)
        assert train.class_names == test.class_names == ("cat", "dog", "eel")
        assert train.labels.tolist() == [0, 1, 1]
        assert test.labels.tolist() == [1, 2, 2, 2]
        named = open_dataset(
            source / "set" / "val" if source != root else root / "val",
            split="test",
            progress=no_progress,
        )
        assert named.class_names == ("dog", "eel")  # nothing above it is looked at
    with pytest.raises(FileNotFoundError, match=r"asked for the split 'test'.*use --split train"):
        open_dataset(root / "train", split="test", progress=no_progress)
    (root / "val").rename(root / "training")
    with pytest.raises(FileNotFoundError, match=r"no split 'test': .*found train, training"):
        open_dataset(root, split="test", progress=no_progress)


def test_grey_and_colour_images_meet_as_rgb(tmp_path: Path) -> None:
    for name, mode in (("a", "L"), ("b", "RGB")):
        (tmp_path / name).mkdir()
        Image.new(mode, (5, 4), 99 if mode == "L" else (1, 2, 3)).save(tmp_path / name / "x.png")
    made = open_dataset(tmp_path, progress=no_progress)
    assert made.images[:, 0, 0].tolist() == [[99, 99, 99], [1, 2, 3]]


def test_different_sizes_are_named_and_solved(
    class_folder: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    root = class_folder({"a": 1, "b": 1})
    (root / "a" / "x.png").write_bytes(encode(0, size=(9, 20)))
    with pytest.raises(ValueError, match="--image-size") as caught:
        open_dataset(root, progress=no_progress)
    assert "a/x.png is 20x9" in str(caught.value)
    assert ".png is 6x8" in str(caught.value)
    made = open_dataset(root, image_size=(10, 12), progress=no_progress)
    assert made.image_size == (10, 12)
    expected = decode_image((root / "a" / "x.png").read_bytes(), (10, 12))
    np.testing.assert_array_equal(made.images[1].numpy(), np.array(expected))


def test_a_set_too_large_for_the_memory_is_refused_early(
    class_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fctfast.data import memory

    root = class_folder({"a": 3, "b": 3})
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 30)
    with pytest.raises(ValueError, match=r"takes 1\.7 GiB decoded, and 1\.0 GiB .*--limit"):
        open_dataset(root, image_size=10_000, progress=no_progress)


def fails(source: Any, error: type[Exception], message: str, **options: Any) -> None:
    with pytest.raises(error, match=message):
        open_dataset(source, progress=no_progress, **options)


def test_what_is_no_set_is_told(
    class_folder: Callable[..., Path],
    encode: Callable[..., bytes],
    zip_of: Callable[..., Path],
    tmp_path: Path,
) -> None:
    (tmp_path / "nothing").mkdir()
    fails(
        tmp_path / "nothing", ValueError, "found 0 images and no class folders; expected <folder>/"
    )
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.png").write_bytes(encode())
    fails(tmp_path / "flat", ValueError, "found 1 images and no class folders")
    fails(class_folder({"only": 2}, under="one"), ValueError, r"found one class \('only'\)")
    tiffs = class_folder({"a": 0, "b": 0}, under="tiffs")
    (tiffs / "a" / "x.TIF").write_bytes(b"")
    (tiffs / "a" / "README").write_bytes(b"")
    fails(tiffs, ValueError, r"no images in its 2 class folders.*1 x \.tif, 1 x no ending")
    bad = class_folder({"a": 0, "b": 0}, under="bad")
    (bad / "a" / "x.png").write_bytes(b"")
    fails(bad, ValueError, r"no image could be read \(1 quarantined; .*a/x\.png: the file is empty")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    fails(tmp_path / "torn.zip", ValueError, r"torn\.zip is not a readable \.zip file")
    whole = zip_of(bad, tmp_path / "whole.zip")
    fails(whole / "none", FileNotFoundError, r"whole\.zip holds no folder 'none'")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    fails(tmp_path / "empty.zip", ValueError, "found 0 images and no class folders")


def test_progress_hears_of_every_file(class_folder: Callable[..., Path]) -> None:
    root = class_folder({"a": 30, "b": 3})
    heard: list[Any] = []

    def progress(iterable: Any, total: int, description: str) -> Any:
        heard.append((total, description))
        for item in iterable:
            heard.append(item)
            yield item

    made = open_dataset(root, progress=progress)
    assert heard[0] == (33, f"decoding {root}")
    assert len(heard) == 34
    assert isinstance(made, ImageSet)


def test_the_real_images(shared_data: Path) -> None:
    made = open_dataset(shared_data / "cifar10.zip", limit=300, split="test", progress=no_progress)
    assert made.image_size == (32, 32)
    assert made.num_classes == 10
    assert not made.quarantined
    assert made.paths is not None
    for path, label in zip(made.paths, made.labels.tolist(), strict=True):
        assert path.split("/")[:3] == ["cifar10", "test", made.class_names[label]]
    large = open_dataset(
        shared_data / "imagenet_sample.zip", image_size=64, limit=40, progress=no_progress
    )
    assert large.images.shape == (40, 64, 64, 3)
    assert torch.unique(large.labels).numel() == 40


@pytest.mark.parametrize(("asked", "started"), [(None, 1), (3, 3)])
def test_as_many_decoders_start_as_are_asked_for(
    class_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    started: int,
) -> None:
    heard: list[int] = []

    def stream(jobs: Iterable[Job], *, workers: int, **_: Any) -> Generator[Result, None, None]:
        heard.append(workers)
        return decode_here(jobs)

    monkeypatch.setattr(class_folders_module, "decode_stream", stream)
    open_dataset(class_folder({"a": 2, "b": 2}), workers=asked, progress=no_progress)
    assert heard == [started]
