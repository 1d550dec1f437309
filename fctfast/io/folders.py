"""Whole folders or none: filled under another name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fctfast.io.atomic import PathLike, sync_folder

try:
    import fcntl
except ImportError:  # not on Windows: what a kill left stays
    fcntl = None  # type: ignore[assignment]

_MARKER = ".being-written"
"""Locked while its folder is filled: one that nobody holds was left by a kill."""


def as_folder(path: PathLike | None) -> Path | None:
    """Say where results go, before the work whose results they are.

    Args:
        path: of a folder, there already or not; None stays None.

    Raises:
        NotADirectoryError: it is a file.
    """
    if path is None:
        return None
    if Path(path).exists() and not Path(path).is_dir():
        raise NotADirectoryError(f"out: expected a folder, {path} is a file; name another place")
    return Path(path)


@contextmanager
def atomic_folder(path: PathLike, *, last: str = "") -> Iterator[Path]:
    """Fill a folder that appears under its name only when the block ends well.

    If the block raises, what it wrote is removed, and parents that were made for it. A kill leaves
    a hidden folder, which the next call for the same name removes. Where the folder exists (it
    must be empty: a mount point, say) it is filled in the end by renames of what is in it.

    Args:
        path: the folder to make.
        last: name of the file in it that says that the folder is whole; it comes last.

    Yields:
        The folder to write to meanwhile, on the same file system.

    Raises:
        FileExistsError: there is a file of that name, a folder with something in it, or it is the
            current folder.
        OSError: the folder cannot be made, or the disk is full.
    """
    target = Path(path).resolve()
    if target == Path.cwd().resolve():
        raise FileExistsError(f"{path} is the current folder; choose a new one")
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{path} is a file; choose a new folder")
    there = target.is_dir()
    place = target if there else target.parent
    missing = [p for p in (place, *place.parents) if not p.exists()]
    stem = f".fctfast-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}"
    for left in place.glob(f"{stem}-*.unfinished") if place.is_dir() else ():
        if _abandoned(left):
            shutil.rmtree(left)
    if there and any(target.iterdir()):
        raise FileExistsError(f"{path} is there already and not empty; choose a new folder")
    unfinished = place / f"{stem}-{secrets.token_hex(6)}.unfinished"
    try:
        unfinished.mkdir(parents=True)
        with (unfinished / _MARKER).open("xb") as marker:
            if fcntl is not None:
                fcntl.flock(marker, fcntl.LOCK_EX)
            yield unfinished
            (unfinished / _MARKER).unlink()
            _put(unfinished, target, last if there else None)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise
    sync_folder(place)


def _put(unfinished: Path, target: Path, last: str | None) -> None:
    """Rename the folder, or with `last` its children."""
    try:
        if last is None:
            os.rename(unfinished, target)
            return
        for child in sorted(unfinished.iterdir(), key=lambda child: (child.name == last, child)):
            os.rename(child, target / child.name)
        unfinished.rmdir()
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise FileExistsError(
                f"{target} was made by something else in the meantime; choose a new folder"
            ) from error
        raise


def _abandoned(folder: Path) -> bool:
    """Whether it is one of ours that no living process fills."""
    if fcntl is None:
        return False
    try:
        with (folder / _MARKER).open("rb") as marker:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
