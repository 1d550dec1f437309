"""A guard that speaks before the machine runs out of memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARE = 0.7  # of what is free: training and scoring need the rest
_GIB = 1 << 30


def available_memory() -> int | None:
    """Ask the system how many bytes a process can still take.

    Returns:
        Bytes: the smaller of the machine's free memory and what the control group still allows;
        None if the system does not tell.
    """
    known = [value for value in (_free_memory(), _cgroup_headroom()) if value is not None]
    return min(known) if known else None


def require_memory(name: str, count: int, shape: tuple[int, int, int]) -> None:
    """Refuse to decode a set that will not fit, before the first image is decoded.

    Args:
        name: the set, for the message.
        count: how many images.
        shape: (height, width, channels) of each, one byte a value.

    Raises:
        ValueError: it would take more than 70 % of the memory that is free.
    """
    what = f"{name}: {count:,} images of {shape[0]}x{shape[1]} pixels"
    require_bytes(what, count * shape[0] * shape[1] * shape[2])


def require_bytes(what: str, need: int) -> None:
    """Refuse to hold more than the machine can.

    Args:
        what: what would be held, for the message.
        need: its size in bytes.

    Raises:
        ValueError: it is more than 70 % of the memory that is free.
    """
    free = available_memory()
    if free is None or need <= SHARE * free:
        return
    raise ValueError(
        f"{what}: takes {need / _GIB:.1f} GiB decoded, and {free / _GIB:.1f} GiB of memory are "
        f"free (at most {SHARE:.0%} of that is used): ask for smaller images with --image-size, "
        "for fewer with --limit, or for a machine with more memory"
    )


def _free_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _cgroup_headroom() -> int | None:
    # A container may be allowed far less than the machine's free memory.
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        with suppress(OSError, ValueError):
            return int(Path(limit).read_text()) - int(Path(used).read_text()) + _page_cache()
    return None


def _page_cache() -> int:
    # Cached file pages count as used in a control group but are given back when asked for.
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                return int(line.split()[1])
    return 0
