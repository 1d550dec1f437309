"""One way into every source: names, paths, options and what is told when nothing fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fctfast.data import no_progress, open_dataset
from fctfast.data.registry import _SOURCES, register, sources
from fctfast.data.request import Request


def test_every_source_is_found_by_itself() -> None:
    names = [source.name for source in sources()]
    assert names[0] == "digits"
    assert set(names) == {
        *("digits", "image set", "cifar", "idx", "npz", "zip", "folder", "dataset"),
    }
    assert names.index("npz") < names.index("folder")  # the specific before the general


def test_two_sources_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two data sources are called 'digits'"):
        register("digits", "again", accepts=lambda _: False)(lambda source, request: source)
    assert _SOURCES["digits"].description != "again"


def test_missing_and_unknown_paths_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such data set: nothing-here \(looked in"):
        open_dataset("nothing-here", progress=no_progress)
    with pytest.raises(FileNotFoundError, match="expected the name 'digits', a folder of class"):
        open_dataset(tmp_path / "nothing", progress=no_progress)
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"model\.pt: this file is no data set.*npz: a \.npz"):
        open_dataset(tmp_path / "model.pt", progress=no_progress)
    with pytest.raises(ValueError, match=r"model\.pt.inside: this file is no data set"):
        open_dataset(tmp_path / "model.pt" / "inside", progress=no_progress)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "all"}, ValueError, "expected 'train', 'test' or 'val', got 'all'"),
        ({"limit": 0}, ValueError, "expected at least 1 sample, got 0"),
        ({"image_size": 0}, ValueError, r"1\.\.32767 pixels, got \(0, 0\)"),
        ({"image_size": (5, 40_000)}, ValueError, r"got \(5, 40000\)"),
        ({"image_size": 5.5}, TypeError, "float"),
    ],
)
def test_wrong_options_are_told(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_dataset("digits", progress=no_progress, **options)


def test_text_paths_and_a_folder_named_like_a_source(
    class_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folder({"a": 2, "b": 2}, under="digits")
    monkeypatch.chdir(root.parent)
    assert len(open_dataset("./digits", progress=no_progress)) == 4
    assert len(open_dataset("digits", progress=no_progress)) == 1500
    monkeypatch.setenv("HOME", str(root.parent))
    assert len(open_dataset("~/digits", progress=no_progress)) == 4


def test_a_limit_beyond_the_set_takes_all() -> None:
    assert len(open_dataset("digits", limit=10**9, progress=no_progress)) == 1500
    assert Request(limit=5).rows(0).tolist() == []
