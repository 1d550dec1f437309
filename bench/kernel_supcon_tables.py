"""Tables of supcon_loss in docs/kernels.md: operations, floors, and the bytes of the eager peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from gpu_cases import LABELS, Case, supcon_bytes
from kernel_eager import Pass, passes
from kernel_model import DEVICES, Floor
from kernel_supcon import cases, floor, issued, launches, needed


def _giga(value: float) -> str:
    scaled = value / 1e9
    return f"{scaled:,.0f}" if scaled >= 100 else f"{scaled:.3g}"


def floor_rows(
    label: Callable[[Case], str], limited: Callable[[Floor], str]
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return head and rows of the table of operations and floors."""
    head = (
        "case", "needed products, Gop", "issued products", "exponentials, G", "float + int, Gop",
        "read from shared, GB", "copied to shared, GB",
        *(f"floor {d.name}" for d in DEVICES), *(f"as built {d.name}" for d in DEVICES),
    )  # fmt: skip
    made = []
    for case in cases():
        need, do = needed(case), issued(case)
        made.append((
            label(case), _giga(need.products), _giga(do.products), _giga(do.exponentials),
            f"{_giga(do.floats)} + {_giga(do.integers)}", _giga(do.shared), _giga(do.copied),
            *(limited(floor(d, case, need)) for d in DEVICES),
            *(limited(floor(d, case, do)) for d in DEVICES),
        ))  # fmt: skip
    return head, made


def eager_cases() -> list[Case]:
    """Forward alone, and forward and backward, which eager's N x N matrices connect."""
    return [
        Case("supcon_loss", (n, 128), 2, dtype, LABELS, both=both)
        for both in (False, True)
        for n in (1024, 8192, 65536)
        for dtype in (torch.float32, torch.bfloat16)
    ]


def eager_rows(
    label: Callable[[Case], str], mega: Callable[[float], str], micro: Callable[[float], str]
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return head and rows of the table of the eager peer's launches and bytes."""
    head = (
        "case", "launches at the least", "ours", "read, MB", "written, MB",
        "largest tensor written, MB", *(f"sum of floors {d.name}" for d in DEVICES),
        "bytes to ours",
    )  # fmt: skip
    made = []
    for case in eager_cases():
        trace: list[Pass] = passes(case)
        read, written = (sum(getattr(p.moved, w) for p in trace) for w in ("read", "written"))
        made.append((
            label(case), str(len(trace)), str(launches(case)), mega(read),
            mega(written), mega(max(p.moved.written for p in trace)),
            *(micro((read + written) / d.bandwidth) for d in DEVICES),
            f"{(read + written) / sum(supcon_bytes(case)):.0f}x",
        ))  # fmt: skip
    return head, made
