"""The tables of docs/kernels.md: bytes, operations and floors, computed and not measured.

`python bench/kernel_costs.py` prints them, `--write` puts them into the document between its two
markers, `--check` exits with 1 if the document has others. Bytes that a kernel asks for are counted
by the executor (csrc/simt), which needs g++; no GPU is needed or used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from gpu_cases import LAST, NCHW, Case
from kernel_counts import CHECKOUT, Count, Counter, compiler
from kernel_eager import Pass, passes
from kernel_model import DEVICES, Floor, floor, issued, must_move, needed
from kernel_supcon_tables import eager_rows, floor_rows

from fctfast import io

DOCUMENT = CHECKOUT / "docs" / "kernels.md"
BEGIN, END = "<!-- kernel_costs.py: begin -->", "<!-- kernel_costs.py: end -->"
_F32, _BF16 = torch.float32, torch.bfloat16


def cases() -> Iterator[Case]:
    """List the rows of the tables of ops that no product limits; see `kernel_supcon_tables.py`."""
    ways, both = ("nearest", "bilinear"), (_F32, _BF16)
    for shape in ((512, 32, 32, 3), (256, 224, 224, 3)):
        for way in ways:
            yield Case("fct_views", shape, 4, _F32, NCHW, way)
            yield Case("fct_views", shape, 4, _BF16, LAST, way)
    for shape, side in (((512, 32, 32, 3), 32), ((64, 256, 256, 3), 224)):
        yield Case("contrastive_views", shape, 2, _F32, NCHW, side=side)
        yield Case("contrastive_views", shape, 2, _BF16, LAST, side=side)
    for backward in (False, True):
        for shape, layout in (((2560, 512), "rows"), ((640, 512, 7, 7), NCHW)):
            for dtype in both:
                yield Case("feature_distance", shape, 4, dtype, layout, backward=backward)
    for backward in (False, True):
        for shape in ((512, 3, 32, 32), (64, 512, 4, 4)):
            for way in ways:
                for dtype in both:
                    yield Case("warp_distance", shape, 1, dtype, NCHW, way, backward)


# ---- tables ----------------------------------------------------------------------------------


def tables(counter: Counter) -> str:
    """Return the generated part of the document, without its markers."""
    rows = list(cases())
    counts = {case: counter.count(case) for case in rows}
    traces = {case: passes(case) for case in rows}
    return "\n\n".join(
        [
            f"Loads and stores counted with {compiler()}; the eager peer's passes are those of "
            f"torch {torch_version()}. MB are 10^6 bytes, Mop 10^6 operations, times microseconds.",
            "### Bytes",
            _bytes_table(rows, counts),
            "### Operations and floors: computed, not measured",
            _floor_table(rows),
            "### The eager peer: computed, not measured",
            _eager_table(rows, traces),
            "### The eager peer, pass by pass",
            *(_passes_table(case, traces[case]) for case in rows if _is_listed(case)),
            "### supcon_loss: operations and floors, computed, not measured",
            _table(*floor_rows(_label, _limited)),
            "### supcon_loss: the eager peer, computed, not measured",
            _table(*eager_rows(_label, _mega, _micro)),
        ]
    )


def _is_listed(case: Case) -> bool:
    """One case of each kind; sampling nearest makes the same passes as bilinear.

    Those of contrastive_views are too many to list: every step once for each place in the order.
    """
    first = case.shape in {(512, 32, 32, 3), (2560, 512), (640, 512, 7, 7), (512, 3, 32, 32)}
    listed = case.interpolation != "nearest" and case.op != "contrastive_views"
    return first and case.dtype == _F32 and listed


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    return "\n".join([line(head), line(["---", *["---:"] * (len(head) - 1)]), *map(line, rows)])


def _label(case: Case) -> str:
    layout = " NHWC" if case.layout == LAST else ""
    return f"{case.name} {case.size} {case.dtype_name}{layout}"


def _mega(value: float) -> str:
    scaled = value / 1e6
    digits = 0 if scaled >= 100 else 1 if scaled >= 10 else 2 if scaled >= 1 else 3
    return f"{scaled:,.{digits}f}" if value else "0"


def _micro(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bytes_table(rows: Sequence[Case], counts: dict[Case, Count]) -> str:
    head = (
        "case", "must read, MB", "must write, MB", "data loads, MB", "to must read",
        "other loads, MB", "stores, MB", "shared stores, MB", "factor",
    )  # fmt: skip
    made = []
    for case in rows:
        must, count = must_move(case), counts[case]
        made.append((
            _label(case), _mega(must.read), _mega(must.written), _mega(count.data),
            f"{count.data / must.read:.1f}x", _mega(count.other), _mega(count.written),
            _mega(count.shared), str(count.factor),
        ))  # fmt: skip
    return _table(head, made)


def _limited(made: Floor) -> str:
    return f"{_micro(made.seconds)} ({made.limit})"


def _floor_table(rows: Sequence[Case]) -> str:
    head = (
        "case", "needed int + float, Mop", "issued int + float, Mop",
        *(f"floor {d.name}" for d in DEVICES), *(f"as built {d.name}" for d in DEVICES),
    )  # fmt: skip
    made = []
    for case in rows:
        must, need, do = must_move(case), needed(case), issued(case)
        made.append((
            _label(case), f"{_mega(need.integers)} + {_mega(need.floats)}",
            f"{_mega(do.integers)} + {_mega(do.floats)}",
            *(_limited(floor(d, must.total, need)) for d in DEVICES),
            *(_limited(floor(d, must.total, do, fused=False)) for d in DEVICES),
        ))  # fmt: skip
    return _table(head, made)


def _eager_table(rows: Sequence[Case], traces: dict[Case, list[Pass]]) -> str:
    head = (
        "case", "passes", "read, MB", "written, MB", "largest tensor written, MB",
        *(f"sum of floors {d.name}" for d in DEVICES), "bytes to ours",
    )  # fmt: skip
    made = []
    for case in rows:
        moved = [p.moved for p in traces[case]]
        total = sum(m.total for m in moved)
        made.append((
            _label(case), str(len(moved)), _mega(sum(m.read for m in moved)),
            _mega(sum(m.written for m in moved)), _mega(max(m.written for m in moved)),
            *(_micro(total / d.bandwidth) for d in DEVICES),
            f"{total / must_move(case).total:.1f}x",
        ))  # fmt: skip
    return _table(head, made)


def _passes_table(case: Case, trace: Sequence[Pass]) -> str:
    made = [(p.name, _mega(p.moved.read), _mega(p.moved.written)) for p in trace]
    return f"{_label(case)}, K={case.draws}:\n\n" + _table(
        ("pass", "reads, MB", "writes, MB"), _folded(made, case.draws)
    )


def _folded(rows: Sequence[tuple[str, str, str]], draws: int) -> list[tuple[str, str, str]]:
    """A tail that repeats itself once a draw, shown once."""
    for head in range(len(rows)):
        length, rest = divmod(len(rows) - head, draws)
        parts = [tuple(rows[head + i * length : head + (i + 1) * length]) for i in range(draws)]
        if draws > 1 and rest == 0 and length > 0 and len(list(groupby(parts))) == 1:
            return [*rows[:head], *((f"{draws} x {n}", r, w) for n, r, w in parts[0])]
    return list(rows)


def torch_version() -> str:
    """Major and minor version of torch."""
    return ".".join(torch.__version__.split(".")[:2])


# ---- the document ----------------------------------------------------------------------------


def replaced(text: str, part: str) -> str:
    """Put `part` between the document's markers.

    Raises:
        ValueError: it lacks a marker.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected one {BEGIN} and one {END} behind it")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n\n{part}\n\n{text[text.index(END) :]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print, write or check the tables; return the exit code."""
    parser = argparse.ArgumentParser(description="The tables of docs/kernels.md (no GPU is used).")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="put them into docs/kernels.md")
    what.add_argument("--check", action="store_true", help="exit 1 if docs/kernels.md has others")
    parser.add_argument(
        "--build", type=Path, default=CHECKOUT / "build" / "simt", metavar="FOLDER",
        help="where the executor is built (default: build/simt of the checkout)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        part = tables(Counter(options.build))
        if not (options.write or options.check):
            print(part)
            return 0
        old = DOCUMENT.read_text(encoding="utf-8")
        new = replaced(old, part)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"bench/kernel_costs.py: {error}", file=sys.stderr)
        return 2
    if options.write:
        io.write_text(DOCUMENT, new)
        return 0
    if new != old:
        print("docs/kernels.md is stale: python bench/kernel_costs.py --write", file=sys.stderr)
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main())
