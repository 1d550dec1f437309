"""Measure every op of the foundation on a GPU against its peers: one command, one Markdown table.

The pytest suites beside this file measure the CPU; this is a script, because a GPU is seldom at
hand and the day it is, one command must do. What it measures is in `gpu_cases.py`, against what in
`gpu_peers.py` and `gpu_dali.py`, with which clock in `gpu_timing.py`.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from gpu_cases import OPS, Case, cases
from gpu_peers import ABSENT, NAMES, Peer, Unavailable
from gpu_problems import COMPARED_SAMPLES, Problem, build, compare, refused
from gpu_table import Cell, Row, Table, gpu_lines, software_lines
from gpu_timing import Timer, extra_memory, tf32

from fctfast import io
from fctfast.ops import library_status

EXAMPLES = """examples:
  python bench/gpu.py --out bench/results/DATE-gpu.md     everything
  python bench/gpu.py --quick                             the smallest shapes, a look in minutes
  python bench/gpu.py --ops fct_views --peers eager DALI  one op, two peers
  python bench/gpu.py --only 4096x128 bfloat16            some cases of any op
  python bench/gpu.py --dry-run                           every code path once, on the CPU

Most of the time goes into torch.compile (one compilation a case) and torchvision's loops;
--peers leaves them out, and the table says so. --out is rewritten after every case.

exit codes: 0 done, 1 one of our own ops failed or was wrong (the table says how), 2 refused
"""
BUILD = "pip install --force-reinstall --no-deps . -C cmake.define.FCTFAST_CUDA=ON"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, write the table; return the exit code."""
    options = _parser().parse_args(argv)
    device = torch.device("cpu" if options.dry_run else options.device)
    if not options.dry_run:
        refusal = _refusal(device, options.ops, options.allow_plain)
        if refusal:
            print(f"bench/gpu.py: {refusal}", file=sys.stderr)
            return 2
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    planned = cases(tuple(options.ops), quick=options.quick, tiny=options.dry_run)
    planned = [case for case in planned if all(text in case.label for text in options.only)]
    if not planned:
        print(f"bench/gpu.py: no case's label holds {' and '.join(options.only)}", file=sys.stderr)
        return 2
    timer = None if options.dry_run else _timer(device, options.repeats)
    table = _table(device, options, timer, len(planned))
    began = time.perf_counter()
    for number, case in enumerate(planned, 1):
        _say(f"[{number}/{len(planned)}] {case.label}")
        with warnings.catch_warnings():  # peers' deprecations would drown the progress
            warnings.simplefilter("ignore")
            with tf32(case.tf32):
                table.rows.append(measure(case, device, timer, options.peers))
        try:
            if options.out:  # a run that is cut short leaves what it has
                io.write_text(options.out, table.markdown())
        except OSError as error:
            print(f"bench/gpu.py: cannot write --out: {error}", file=sys.stderr)
            return 2
    _say(f"done in {time.perf_counter() - began:.0f} s")
    if not options.out:
        print(table.markdown(), end="")
    return 1 if any(row.ours_failed for row in table.rows) else 0


def measure(case: Case, device: torch.device, timer: Timer | None, wanted: Sequence[str]) -> Row:
    """Measure one case: our kernel, our public call, the wanted peers.

    Args:
        case: which.
        device: where; the CPU in a dry run.
        timer: None runs each way once and times nothing.
        wanted: names of peers.
    """
    row = Row(case)
    try:
        problem = build(case, device, compiling=timer is not None)
    except Exception as error:  # one case that cannot be made does not end the others
        row.kernel = row.public = Cell(reason=f"could not be set up: {_first_line(error)}")
        return row
    row.kernel = _cell(case, problem, lambda: Peer(problem.kernel), timer)
    row.public = _cell(case, problem, lambda: Peer(problem.public), timer)
    if timer is not None and not row.public.reason:
        row.wall = timer.wall(problem.public)
    for name in (n for n in NAMES if n in wanted):
        _say(f"    {name}")
        cell = _cell(case, problem, problem.peers.get(name, refused(ABSENT)), timer)
        if cell.reason:
            cell.reason = f"{name}: {cell.reason}"
            _say(f"        none: {cell.reason}")
        row.peers[name] = cell
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def _cell(case: Case, problem: Problem, maker: Callable[[], Peer], timer: Timer | None) -> Cell:
    """Run one way of doing a case; whatever it raises becomes the reason for an empty cell."""
    try:
        peer = maker()
        made: Any = peer.call()
        error = None if peer.other else compare(case, problem, peer.tensor(made))
        cell = Cell(error=error, other=peer.other)
        del made
        if timer is None:
            return cell
        if peer.clock == "wall":  # its memory is not torch's either
            cell.stats = timer.wall(peer.call)
        else:
            cell.stats, cell.extra = timer.events(peer.call), extra_memory(peer.call)
        return cell
    except Unavailable as error:
        return Cell(reason=str(error))
    except Exception as error:  # a peer's failure is a result, and one more reason to go on
        return Cell(reason=f"failed: {_first_line(error)}")


def served_by_plain_torch(names: Sequence[str]) -> list[str]:
    """Return those of the named ops and their gradients whose CUDA kernel is plain torch."""
    backward = {"feature_distance", "warp_distance", "supcon_loss"}
    plain = []
    for name in [*names, *(f"{name}_backward" for name in names if name in backward)]:
        dump = torch._C._dispatch_dump(f"fctfast::{name}")
        registered = [x for x in dump.splitlines() if x.startswith("CUDA:")]
        # ops/plain.py registers through torch/library.py; a compiled kernel names its source.
        if not registered or "library.py" in registered[0]:
            plain.append(name)
    return plain


def _refusal(device: torch.device, names: Sequence[str], allow_plain: bool) -> str:
    if device.type != "cuda":
        return f"expected --device cuda or cuda:N, got {device}; for the CPU there is --dry-run"
    if not torch.cuda.is_available():
        why = "is built without CUDA" if torch.version.cuda is None else "finds no CUDA device"
        return (
            f"no GPU: torch {torch.__version__} {why}, and nothing is measured without one. "
            "`python bench/gpu.py --dry-run` runs every code path on the CPU; `pytest bench` "
            "measures the CPU"
        )
    if (device.index or 0) >= torch.cuda.device_count():
        return f"expected --device below cuda:{torch.cuda.device_count()}, got {device}"
    plain = served_by_plain_torch(names)
    if plain and not allow_plain:
        reason = library_status().cuda_reason or "the library has no kernel for them"
        return (
            f"{', '.join(plain)} would run in plain torch ({reason}), which is not what this "
            f"measures. Build the CUDA library with nvcc on PATH: `{BUILD}`; or leave the op out "
            "with --ops; or measure plain torch all the same with --allow-plain"
        )
    return ""


def _timer(device: torch.device, repeats: int) -> Timer:
    l2_bytes = torch.cuda.get_device_properties(device).L2_cache_size
    return Timer(device, l2_bytes, repeats=repeats)


def _table(
    device: torch.device, options: argparse.Namespace, timer: Timer | None, planned: int
) -> Table:
    head = software_lines()
    if timer is None:
        head = ["Tiny shapes, each way run once, nothing timed.", "", *head]
        return Table([*head, *_how(None)], None, planned)
    bandwidth, size = timer.copy_bandwidth()
    rates = timer.product_rates() if "supcon_loss" in options.ops else {}
    plain = served_by_plain_torch(options.ops)
    served = f"**served by plain torch, not by a kernel: {', '.join(plain)}**" if plain else ""
    head = [
        *gpu_lines(device),
        *head,
        *([f"- {served}"] if served else []),
        f"- copy bandwidth, measured in this run: {bandwidth:,.0f} GB/s (device to device, "
        f"{size / 2**20:.0f} MiB read and written)",
        *(
            f"- {name} products, measured in this run: {rate / 1e12:,.1f} TFLOP/s (torch, square)"
            for name, rate in rates.items()
        ),
    ]
    return Table([*head, *_how(timer)], bandwidth, planned, rates)


def _how(timer: Timer | None) -> list[str]:
    error = (
        f"- error: {COMPARED_SAMPLES} samples of every batch, first and last among them, against "
        "fctfast.ops.reference in float64 on the CPU; of supcon_loss the loss, or those samples' "
        "gradients, against the same in float64 by blocks of rows"
    )
    if timer is None:
        return [error]
    return [
        f"- time: median (quartiles) of {timer.repeats} samples, fewer but at least 5 where they "
        f"take over {timer.budget_s:g} s; CUDA events around one call, after warm-up, behind "
        f"queued work; before each sample {timer.flush_bytes / 2**20:.0f} MiB are written and "
        "read, which empties the L2",
        "- kernel: the registered op, coefficients on the device; public call: the function of "
        "fctfast.ops, which makes and copies coefficients (backward: through autograd); peers get "
        "prepared matrices and are compared with the kernel: **ratio** = peer / ours, above 1 is "
        "our win",
        "- 'host': the GPU waited for the host, which is in the figure; 'wall': wall clock from an "
        "idle GPU (the work is on another stream), its ratio is to our public call's wall clock",
        "- GB/s: bytes the op must move (each input and output byte once) over the kernel's time; "
        "of copy: that over the copy bandwidth",
        "- TFLOP/s: an N x N x D product forward, two more backward, over the kernels' time; of "
        "matmul: that over torch's rate with the same products; supcon_loss is measured forward, "
        "without a gradient, and forward and backward together: eager leaves N x N matrices to its "
        "backward, so that neither's backward alone is all of its work",
        "- MiB: peak of torch's allocator beyond inputs and output",
        "- torchvision v2 loops over the samples, its affine has one angle for a batch; DALI's "
        "parts stay apart, ours and the others' are one tensor",
        error,
    ]  # fmt: skip


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/gpu.py",
        description=(__doc__ or "").split("\n\n", maxsplit=1)[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", metavar="FILE", help="write the table here, whole or not at all (default: stdout)")
    add("--ops", nargs="+", choices=OPS, default=list(OPS), help="default: all")
    add("--peers", nargs="+", choices=NAMES, default=list(NAMES), help="default: all")
    add(
        "--only", nargs="+", metavar="TEXT", default=[], help="cases whose label holds all of these"
    )
    add("--repeats", type=_positive, default=50, help="samples of each figure (default: 50)")
    add("--quick", action="store_true", help="the first shapes, float32 and bfloat16 only")
    add("--device", type=_device, default="cuda", help="cuda or cuda:N (default: cuda)")
    add("--dry-run", action="store_true", help="run everything once, tiny, on the CPU; no times")
    add("--allow-plain", action="store_true", help="measure ops that no CUDA kernel serves, too")
    return parser


def _device(text: str) -> torch.device:
    try:
        return torch.device(text)
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"expected cuda or cuda:N, got {text!r}") from error


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
