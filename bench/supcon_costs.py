"""Memory and errors of supcon_loss and of its peers.

Memory: the growth of the process's high-water mark over one forward and backward, each in a process
of its own, beside z and its gradient; median and range of several processes, since threads meet the
allocator in an order of their own. Errors: of the gradient, relative to its norm, against the
whole matrix in float64, for rows clustered about ten centres with a spread. Prints Markdown.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import supcon_peers as peers
import torch
from torch import Tensor

from fctfast.ops import reference, supcon_loss
from fctfast.train.versions import versions

EXAMPLE = """example:
  python bench/supcon_costs.py > bench/results/DATE-supcon_costs.md
"""
WIDTH = 128
PROCESSES = 5
ONCE = ("chunked", "eager")
"""Losses that take many times as much memory, where a megabyte more or less tells nothing."""
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ours": lambda z, labels: supcon_loss(z, labels, peers.TEMPERATURE, peers.BASE),
    "triangle": peers.triangle,
    "chunked": peers.chunked,
    "eager": peers.eager,
}


def one(name: str, n: int) -> None:
    """Print how many megabytes one forward and backward adds to the high-water mark."""
    made = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (n,), generator=made)
    # Threads and code pages of a small batch first; they do not grow with n.
    small = torch.randn(600, WIDTH, generator=made).requires_grad_()
    LOSSES[name](small, labels[:600]).backward()
    z = torch.randn(n, WIDTH, generator=made).requires_grad_()
    z.grad = torch.zeros_like(z)
    before = _high_water_mark()
    loss = LOSSES[name](z, labels)
    (slope,) = torch.autograd.grad(loss, z)
    grown = _high_water_mark() - before
    print(grown / 1024 - slope.nbytes / 2**20)


def _memory(name: str, n: int, processes: int) -> str:
    """Median and range of what `processes` processes need, or how one of them failed."""
    command, found = [sys.executable, __file__, "--one", name, str(n)], []
    for _ in range(processes):
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return f"failed ({done.returncode})"
        found.append(float(done.stdout))
    spread = f" ({min(found):.1f} to {max(found):.1f})" if processes > 1 else ""
    return f"{statistics.median(found):.1f}{spread} MB"


def _high_water_mark() -> int:
    """Kilobytes of this program; getrusage's may be those of the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (found,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(found)


def errors(n: int, spread: float) -> dict[str, dict[str, float]]:
    """Errors of the gradient by dtype and loss."""
    made = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 10, (n,), generator=made)
    rows = torch.randn(10, WIDTH, generator=made)[labels]
    rows += spread * torch.randn(n, WIDTH, generator=made)
    # As a GradScaler does: float16 has no numbers for the gradients of a large batch.
    scale = 4096.0

    def slope(loss: Callable[[Tensor, Tensor], Tensor], z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(loss(z, labels) * scale, z)[0].double()

    found: dict[str, dict[str, float]] = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        z = rows.to(dtype)
        exact = slope(
            lambda z, g: reference.supcon_loss(z, g, peers.TEMPERATURE, peers.BASE), z.double()
        )
        names = ("ours", "eager", "triangle") if dtype == torch.float32 else ("ours", "eager")
        found[str(dtype).removeprefix("torch.")] = {
            name: float((slope(LOSSES[name], z) - exact).norm() / exact.norm()) for name in names
        }
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print both tables; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 4096, 8192, 16384, 65536])
    parser.add_argument("--eager-up-to", type=int, default=16384, help="rows; it needs N x N")
    parser.add_argument("--one", nargs=2, metavar=("LOSS", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        one(options.one[0], int(options.one[1]))
        return 0
    print("# supcon_costs\n\n" + ", ".join(f"{k} {v}" for k, v in versions().items()) + "\n")
    print(f"Memory beside z and its gradient, {WIDTH} features, float32\n")
    print("| rows | z | " + " | ".join(LOSSES) + " |\n" + "|--:" * (2 + len(LOSSES)) + "|")
    for n in options.rows:
        cells = [f"{n:,}", f"{n * WIDTH * 4 / 2**20:.1f} MB"]
        for name in LOSSES:
            if name in ("eager", "chunked") and n > options.eager_up_to:
                cells.append("not run")
                continue
            cells.append(_memory(name, n, 1 if name in ONCE else PROCESSES))
        print("| " + " | ".join(cells) + " |", flush=True)
    print("\nRelative error of the gradient, 2,048 rows\n")
    print("| spread | dtype | ours | eager | triangle | ours / eager |\n|--:|---|--:|--:|--:|--:|")
    for spread in (3.0, 1.0, 0.3, 0.05):
        for dtype, by_loss in errors(2048, spread).items():
            cells = [
                f"{by_loss[n]:.2e}" if n in by_loss else "" for n in ("ours", "eager", "triangle")
            ]
            ratio = by_loss["ours"] / by_loss["eager"]
            print(f"| {spread:g} | {dtype} | " + " | ".join(cells) + f" | {ratio:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
