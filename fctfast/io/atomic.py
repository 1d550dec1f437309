"""Whole files or none: a temporary name, fsync, rename."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

PathLike: TypeAlias = str | os.PathLike[str]


@contextmanager
def atomic_open(path: PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when the block ends well.

    The parent folder is made if it is missing. If the block raises, the temporary file is removed
    and what stood under the name before stays as it was.

    Args:
        path: the file to write.
        mode: ``"wb"`` for bytes or ``"w"`` for UTF-8 text with ``\\n`` line ends; default ``"wb"``.

    Yields:
        The open temporary file.

    Raises:
        ValueError: another mode.
        IsADirectoryError: path is a folder.
        OSError: the folder cannot be written to, or the disk is full.

    Source: DESIGN 6.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_open: expected mode 'wb' or 'w', got {mode!r}")
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder; give the name of a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private (0600), and the result must follow the user's umask.
    temporary = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.tmp"
    binary = mode == "wb"
    file = open(  # noqa: SIM115 (closed below, before the rename)
        temporary,
        "xb" if binary else "x",
        encoding=None if binary else "utf-8",
        newline=None if binary else "\n",
    )
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write bytes atomically.

    Args:
        path: the file to write.
        data: its whole content.
    """
    with atomic_open(path) as file:
        file.write(data)


def write_text(path: PathLike, text: str) -> None:
    """Write UTF-8 text atomically.

    Args:
        path: the file to write.
        text: its whole content.
    """
    with atomic_open(path, "w") as file:
        file.write(text)


@contextmanager
def atomic_folder(path: PathLike) -> Iterator[Path]:
    """Fill a folder that appears under its name only when the block ends well.

    If the block raises, what it wrote is removed. A kill leaves ``.NAME.unfinished`` beside the
    name, which the next call for the same name removes.

    Args:
        path: the folder to make; it may exist if it is empty.

    Yields:
        The folder to write to, on the same file system.

    Raises:
        FileExistsError: there is a file of that name, or a folder with something in it.
        OSError: the folder cannot be made, or the disk is full.
    """
    target = Path(path).absolute()
    if target.is_dir() and target.samefile(Path.cwd()):
        raise FileExistsError(f"{target} is the current folder; choose a new one")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{target} is there already and not empty; choose a new folder")
    unfinished = target.with_name(f".{target.name[:100]}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        os.replace(unfinished, target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync_folder(target.parent)


def require_file(path: PathLike, what: str) -> None:
    """Refuse a path that is a folder or does not exist.

    Args:
        path: the file to read.
        what: its kind, for the message.

    Raises:
        IsADirectoryError: it is a folder.
        FileNotFoundError: there is no such file.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"expected a {what}, got the folder {target}")
    if not target.exists():
        raise FileNotFoundError(f"no such {what}: {target}")


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost in a power cut. Not every system can open a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
