"""Paths into archives, and names that every table can hold."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from fctfast.data.decode_pool import BadFile
from fctfast.data.stores import Child, FolderStore, ZipStore, find_zip, shown_path


def test_a_path_is_split_at_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("x/y/z.png", b"1")
    assert find_zip(archive) == (archive, ())
    assert find_zip(archive / "x" / "y") == (archive, ("x", "y"))
    named_otherwise = archive.rename(tmp_path / "download")
    assert find_zip(named_otherwise / "x") == (named_otherwise, ("x",))
    assert find_zip(tmp_path) is None
    (tmp_path / "text").write_bytes(b"text")
    assert find_zip(tmp_path / "text" / "x") is None


def test_shown_paths_are_text() -> None:
    assert shown_path(("a", "b"), "ü\n") == "a/b/ü\n"
    assert shown_path((), os.fsdecode(b"raw\xff")) == "raw\\xff"


def test_a_folder_that_may_not_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", deny)  # chmod does not stop root
    with pytest.raises(PermissionError, match="locked: this folder may not be listed; give"):
        FolderStore(tmp_path).children(("locked",))


def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", b"\0" * 100_000)
    data = path.read_bytes()
    real = (100_000).to_bytes(4, "little")
    path.write_bytes(data.replace(real, (10).to_bytes(4, "little")))
    store = ZipStore(path)
    (child,) = store.children(())
    result = store.read((), child)
    assert isinstance(result, BadFile)
    assert "Bad CRC-32" in result.reason


def test_unknown_compression_is_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.png", b"12")
    data = bytearray(path.read_bytes())
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 99
    path.write_bytes(data)
    store = ZipStore(path)
    result = store.read((), store.children(())[0])
    assert isinstance(result, BadFile)
    assert "compression" in result.reason
    assert store.read((), Child("none", "file")) == BadFile("not a file of the archive")
