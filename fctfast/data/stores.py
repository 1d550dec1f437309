"""Trees of untrusted files: a folder on disk and a folder inside a .zip, behind one interface.

Nothing is unpacked, no link is followed, nothing but a regular file is opened.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from fctfast.data.decode_pool import BadFile

MAX_FILE_BYTES = 64 << 20
_LEAVES = "its name leaves its folder"
_TOO_LARGE = f"larger than {MAX_FILE_BYTES >> 20} MiB, which no image here needs"

Kind: TypeAlias = Literal["file", "folder", "bad"]
Prefix: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Child:
    """One entry of a folder.

    Args:
        name: its name in the folder.
        kind: "file", "folder", or "bad" for what is never opened.
        problem: why it is bad; "" otherwise.
        member: the .zip member it is; None on disk.
    """

    name: str
    kind: Kind
    problem: str = ""
    member: zipfile.ZipInfo | None = None


class Store(Protocol):
    """A tree of files that can be listed and read."""

    name: str

    def children(self, prefix: Prefix) -> list[Child]:
        """List a folder, in any order.

        Args:
            prefix: the names of the folders that lead to it.

        Returns:
            Its entries.
        """
        ...

    def read(self, prefix: Prefix, child: Child) -> bytes | BadFile:
        """Read a file.

        Args:
            prefix: the folder it is in.
            child: its entry.

        Returns:
            Its bytes, or why there are none.
        """
        ...


class FolderStore:
    """A folder on disk.

    Args:
        root: the folder. It may itself be a link: the user named it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def children(self, prefix: Prefix) -> list[Child]:
        """List a folder.

        Args:
            prefix: the names of the folders that lead to it.

        Returns:
            Its entries; links, pipes, sockets and devices are bad.

        Raises:
            PermissionError: the folder must not be read.
        """
        try:
            with os.scandir(self.root.joinpath(*prefix)) as entries:
                return [_disk_child(entry) for entry in entries]
        except PermissionError as error:
            raise PermissionError(
                f"{self.root.joinpath(*prefix)}: this folder may not be listed; give yourself "
                "the right to read and enter it"
            ) from error

    def read(self, prefix: Prefix, child: Child) -> bytes | BadFile:
        """Read a regular file, whatever stands at its name by now.

        Args:
            prefix: the folder it is in.
            child: its entry.

        Returns:
            Its bytes, or why there are none.
        """
        # O_NONBLOCK: a pipe put there after the listing must not make the open wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.root.joinpath(*prefix, child.name), flags)
            with open(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    return BadFile("not a regular file")
                if status.st_size > MAX_FILE_BYTES:
                    return BadFile(_TOO_LARGE)
                return file.read(MAX_FILE_BYTES)
        except OSError as error:
            return BadFile(f"cannot be read: {error.strerror or error}")


class ZipStore:
    """The tree inside a .zip file, read in place.

    Args:
        path: the .zip file.
        inner: names of the folders inside it that lead to the tree's root; default the top.

    Raises:
        ValueError: the file is no readable .zip.
    """

    def __init__(self, path: Path, inner: Prefix = ()) -> None:
        self.name = str(path.joinpath(*inner))
        self.inner = inner
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path} is not a readable .zip file: {error}") from error
        self.tree: dict[Prefix, dict[str, list[Child]]] = {(): {}}
        for member in self.archive.infolist():
            self._add(member)

    def _add(self, member: zipfile.ZipInfo) -> None:
        *parents, name = member.filename.rstrip("/").split("/")
        folder = tuple(parents)
        if folder not in self.tree:
            for depth, parent in enumerate(parents):
                if not _plain_name(parent):
                    # It keeps its row in the class it pretends to stand in, under its other names.
                    folder, name = folder[:depth], "/".join([*parents[depth:], name])
                    self._put(folder, Child(name, "bad", _LEAVES))
                    return
                self._put(folder[:depth], Child(parent, "folder"))
        if not _plain_name(name):
            self._put(folder, Child(name, "bad", _LEAVES))
        elif member.is_dir():
            self._put(folder, Child(name, "folder"))
        else:
            self._put(folder, _zip_child(name, member))

    def _put(self, folder: Prefix, child: Child) -> None:
        same = self.tree[folder].setdefault(child.name, [])
        if child.kind == "folder":
            self.tree.setdefault((*folder, child.name), {})
            if any(other.kind == "folder" for other in same):
                return
        same.append(child)

    def children(self, prefix: Prefix) -> list[Child]:
        """List a folder of the archive.

        Args:
            prefix: the names of the folders that lead to it.

        Returns:
            Its entries; a name that stands for two members is bad, because programs differ in
            which of them they take.
        """
        listed = []
        for name, same in self.tree.get((*self.inner, *prefix), {}).items():
            if len(same) == 1:
                listed.append(same[0])
            else:
                problem = f"{len(same)} entries of the archive have this name"
                listed += [Child(name, "bad", problem) for _ in same]
        return listed

    def read(self, prefix: Prefix, child: Child) -> bytes | BadFile:
        """Read a member, checking its length and checksum.

        Args:
            prefix: the folder it is in.
            child: its entry.

        Returns:
            Its bytes, or why there are none.
        """
        if child.member is None:
            return BadFile("not a file of the archive")
        if child.member.file_size > MAX_FILE_BYTES:
            return BadFile(_TOO_LARGE)
        try:
            with self.archive.open(child.member) as file:
                data = file.read(MAX_FILE_BYTES + 1)
                # The checksum is compared at the end of the member, which must be reached.
                return BadFile(_TOO_LARGE) if file.read(1) else data
        except (
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            RuntimeError,
            NotImplementedError,
            EOFError,
            ValueError,
        ) as error:
            return BadFile(f"cannot be read from the archive: {error}")


def find_zip(path: Path) -> tuple[Path, Prefix] | None:
    """Split ``file.zip/inner/folder`` into the file and the names inside it.

    Args:
        path: what the user wrote.

    Returns:
        (the .zip file, inner names), or None if no part of the path is a .zip file.
    """
    for candidate in (path, *path.parents):
        if candidate.is_file():
            if candidate.suffix.lower() != ".zip" and not zipfile.is_zipfile(candidate):
                return None
            return candidate, path.relative_to(candidate).parts
    return None


def shown_path(prefix: Sequence[str], name: str) -> str:
    """Join names into text that every table can hold.

    Args:
        prefix: folder names.
        name: the last name; bytes that are no UTF-8 come as ``\\xff``.

    Returns:
        The path with ``/`` between names.
    """
    joined = "/".join((*prefix, name))
    return joined.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _disk_child(entry: os.DirEntry[str]) -> Child:
    if entry.is_symlink():
        return Child(entry.name, "bad", "a symbolic link, which is not followed")
    if entry.is_dir(follow_symlinks=False):
        return Child(entry.name, "folder")
    if entry.is_file(follow_symlinks=False):
        return Child(entry.name, "file")
    return Child(entry.name, "bad", "not a regular file (a pipe, socket or device)")


def _zip_child(name: str, member: zipfile.ZipInfo) -> Child:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Child(name, "bad", "a symbolic link, which is not followed")
    if member.flag_bits & 0x1:
        return Child(name, "bad", "encrypted")
    return Child(name, "file", member=member)


def _plain_name(name: str) -> bool:
    return name not in ("", ".", "..") and "\\" not in name and "\0" not in name
