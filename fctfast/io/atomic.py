"""Whole files or none: a temporary name, fsync, rename."""

from __future__ import annotations

import os
import secrets
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
    sync_folder(target.parent)


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut."""
    # Without this the rename itself may be lost in a power cut. Not every system can open a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
