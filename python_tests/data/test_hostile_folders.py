"""Class folders and archives in which everything goes wrong: told row by row, nothing followed."""

from __future__ import annotations

import io
import os
import re
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fctfast.data import class_folders as class_folders_module
from fctfast.data import no_progress, open_dataset


@pytest.fixture
def hostile_folder(class_folder: Callable[..., Path], encode: Callable[..., bytes]) -> Path:
    """Two good classes of two, and beside them everything that goes wrong."""
    root = class_folder({"cat": 2, "dog": 2})
    cat = root / "cat"
    png = encode(1, size=(40, 40))
    changed = bytearray(png)
    changed[len(png) // 2] ^= 0xFF
    (cat / "changed.png").write_bytes(changed)
    (cat / "empty.jpg").write_bytes(b"")
    (cat / "text.jpeg").write_text("not an image")
    (cat / "truncated.jpg").write_bytes(encode(2, size=(64, 64), kind="JPEG")[:600])
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    (cat / "bomb.png").write_bytes(bomb.getvalue())
    os.mkfifo(cat / "pipe.png")
    (cat / "link.png").symlink_to(cat / "000.png")
    (cat / "loop.png").symlink_to(cat / "loop.png")
    (cat / "folder.jpg").mkdir()
    (cat / "folder.jpg" / "inside.png").write_bytes(png)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(cat)  # the name of a socket must be short
        server.bind("socket.bmp")
        os.chdir(here)
    (cat / "new\nline.png").write_bytes(encode(3))
    (cat / "ünïcode 猫.png").write_bytes(encode(4))
    (Path(os.fsdecode(bytes(cat) + b"/raw\xff.png"))).write_bytes(encode(5))
    (cat / "notes.txt").write_text("ignored")
    (cat / ".hidden.png").write_bytes(b"ignored")
    return root


def test_a_hostile_folder_is_read_and_told(hostile_folder: Path) -> None:
    made = open_dataset(hostile_folder, progress=no_progress)
    reasons = {row.path: row.error for row in made.quarantined}
    expected = {
        "cat/bomb.png": "decompression bomb",
        "cat/changed.png": "damaged",
        "cat/empty.jpg": "the file is empty",
        "cat/folder.jpg": "a folder, not an image",
        "cat/link.png": "a symbolic link, which is not followed",
        "cat/loop.png": "a symbolic link, which is not followed",
        "cat/pipe.png": "not a regular file",
        "cat/socket.bmp": "not a regular file",
        "cat/text.jpeg": "not a JPEG, PNG, WebP or BMP image",
        "cat/truncated.jpg": "damaged",
    }
    assert reasons.keys() == expected.keys()
    for path, reason in expected.items():
        assert reason in reasons[path]
    assert made.paths == (
        *("cat/000.png", "cat/001.png", "cat/new\nline.png", "cat/raw\\xff.png"),
        *("cat/ünïcode 猫.png", "dog/000.png", "dog/001.png"),
    )
    ids = sorted([*made.ids.tolist(), *(row.id for row in made.quarantined)])
    assert ids == list(range(17))
    assert all(row.label == 0 for row in made.quarantined)


def test_an_unreadable_file_is_quarantined(
    class_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folder({"cat": 2, "dog": 2})
    real = os.open

    def deny(path: Any, flags: int, *rest: Any) -> int:  # chmod does not stop root
        if Path(path).name == "000.png" and Path(path).parent.name == "cat":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", deny)
    (row,) = open_dataset(root, progress=no_progress).quarantined
    assert (row.id, row.error) == (0, "cannot be read: Permission denied")


def test_a_file_that_goes_away_or_turns_into_a_pipe_is_quarantined(
    class_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folder({"cat": 3, "dog": 2})
    real = class_folders_module._list_rows

    def list_rows(*arguments: Any) -> Any:
        listed = real(*arguments)
        (root / "cat" / "000.png").unlink()
        (root / "cat" / "001.png").unlink()
        os.mkfifo(root / "cat" / "001.png")
        (root / "cat" / "002.png").unlink()
        (root / "cat" / "002.png").symlink_to("/etc/hostname")
        return listed

    monkeypatch.setattr(class_folders_module, "_list_rows", list_rows)
    made = open_dataset(root, progress=no_progress)
    assert made.ids.tolist() == [3, 4]
    errors = [row.error for row in made.quarantined]
    assert errors[0] == "cannot be read: No such file or directory"
    assert errors[1] == "not a regular file"
    assert errors[2].startswith("cannot be read: ")


def patched_zip(path: Path, member: str, *, flag: int = 0, content: bytes | None = None) -> None:
    """Set a flag of a member, or overwrite the first bytes it stores, behind zipfile's back."""
    data = bytearray(path.read_bytes())
    for match in list(re.finditer(re.escape(member.encode()), bytes(data))):
        local, central = match.start() - 30, match.start() - 46
        if local >= 0 and data[local : local + 4] == b"PK\x03\x04":
            data[local + 6] |= flag
            if content is not None:
                data[match.end() : match.end() + len(content)] = content
        elif data[central : central + 4] == b"PK\x01\x02":
            data[central + 8] |= flag
    path.write_bytes(data)


def test_a_hostile_zip_is_read_and_told(encode: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("cat/ok.png", "dog/ok.png", "cat/crc.png", "cat/secret.png"):
            archive.writestr(name, encode(len(name)))
        archive.writestr("cat/../../evil.png", encode(1))
        archive.writestr("cat//evil.png", encode(1))
        archive.writestr("cat/back\\slash.png", encode(1))
        archive.writestr("../evil.png", encode(1))
        archive.writestr("/evil.png", encode(1))
        archive.writestr("dog/twice.png", encode(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("dog/twice.png", encode(2))
        link = zipfile.ZipInfo("dog/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("dog/bomb.png", b"\0" * (65 << 20), zipfile.ZIP_DEFLATED)
        archive.writestr("dog/folder.png/inside.png", encode(1))
        archive.writestr("__MACOSX/cat/._ok.png", b"not an image")
    patched_zip(path, "cat/secret.png", flag=1)
    patched_zip(path, "cat/crc.png", content=b"\x00\x00\x00\x00")
    made = open_dataset(path, progress=no_progress)
    assert made.paths == ("cat/ok.png", "dog/ok.png")
    told = {(row.path, row.error) for row in made.quarantined}
    leaves = "its name leaves its folder"
    assert told == {
        ("cat/../../evil.png", leaves),
        ("cat//evil.png", leaves),
        ("cat/back\\slash.png", leaves),
        ("cat/crc.png", "cannot be read from the archive: Bad CRC-32 for file 'cat/crc.png'"),
        ("cat/secret.png", "encrypted"),
        ("dog/bomb.png", "larger than 64 MiB, which no image here needs"),
        ("dog/folder.png", "a folder, not an image"),
        ("dog/link.png", "a symbolic link, which is not followed"),
        ("dog/twice.png", "2 entries of the archive have this name"),
    }
    assert len(made.quarantined) == 10
    assert os.listdir(tmp_path) == ["bad.zip"]


@pytest.mark.usefixtures("faulty_decoder")
def test_a_crash_of_the_decoder_quarantines_one_row(class_folder: Callable[..., Path]) -> None:
    root = class_folder({"a": 3, "b": 3})
    (root / "a" / "001.png").write_bytes(b"SEGV")
    made = open_dataset(root, progress=no_progress)
    assert made.ids.tolist() == [0, 2, 3, 4, 5]
    assert made.quarantined[0].error == "the decoder crashed on it (SIGSEGV)"
