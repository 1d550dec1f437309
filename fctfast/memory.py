"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in glibc's malloc.h
_NO_TRIMMING = 2**31 - 1
_MAPPED_FROM = (2**30, 2**25)  # older glibc refuses more than the second


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next step of a training to take.

    glibc gives buffers of some megabytes back to the system as soon as they are freed; the next
    step has each of their pages mapped and zeroed again. On two cores without a GPU that was a
    quarter of the time of scoring (120 page faults an image and view; docs/results.md). The setting
    is the whole process's, for good, so nothing in this package calls it but its own programs. The
    process holds what it needed at most; buffers from 1 GiB on (older glibc: 32 MiB) are given back
    all the same.

    Returns:
        True where it took effect: with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has no such function
        return False
    trimmed = mallopt(_TRIM_THRESHOLD, _NO_TRIMMING)
    return bool(trimmed and any(mallopt(_MMAP_THRESHOLD, size) for size in _MAPPED_FROM))
