"""The one table that `bench/gpu.py` prints, and what stands above and below it."""

from __future__ import annotations

import datetime
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import torch
from gpu_cases import Case, bytes_to_move, product_operations, products_of
from gpu_peers import ABSENT, NAMES
from gpu_problems import Error
from gpu_timing import MIB, Stats

from fctfast.ops import library_status

DRY = "dry run on the CPU: no figure of this table means anything for a GPU"


@dataclass
class Cell:
    """What is known of one way to do a case.

    `reason` says why there is no figure, `other` what was computed instead of the op's result.
    """

    stats: Stats | None = None
    error: Error | None = None
    extra: int | None = None
    reason: str = ""
    other: str = ""


@dataclass
class Row:
    """One case: the kernel alone, the public call (also by the wall clock), each peer."""

    case: Case
    kernel: Cell = field(default_factory=Cell)
    public: Cell = field(default_factory=Cell)
    wall: Stats | None = None
    peers: dict[str, Cell] = field(default_factory=dict)

    @property
    def ours_failed(self) -> bool:
        """One of our ways raised, or gave what rounding does not explain."""
        return any(
            bool(cell.reason) or (cell.error is not None and cell.error.share > 0)
            for cell in (self.kernel, self.public)
        )


def gpu_lines(device: torch.device) -> list[str]:
    """Describe the GPU: name, capability, driver, clocks, memory, L2."""
    p = torch.cuda.get_device_properties(device)
    fields = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,persistence_mode"
    names = ("driver", "SM clock", "of at most", "memory clock", "power limit", "persistence")
    return [
        f"- GPU: {p.name}, compute capability {p.major}.{p.minor}, {p.multi_processor_count} SMs, "
        f"{p.total_memory / 2**30:.0f} GiB, L2 {p.L2_cache_size / MIB:.0f} MiB",
        f"- {_ask_nvidia_smi(str(getattr(p, 'uuid', device.index)), fields, names)}",
    ]


def _ask_nvidia_smi(which: str, fields: str, names: tuple[str, ...]) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "driver and clocks: not available (no nvidia-smi)"
    # CUDA_VISIBLE_DEVICES renumbers devices for torch and not for nvidia-smi; the UUID holds.
    index = which if which.isdigit() or which.startswith("GPU-") else f"GPU-{which}"
    command = [program, "-i", index, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return f"driver and clocks: not available ({error})"
    values = done.stdout.strip().splitlines()[0].split(", ")
    return ", ".join(f"{n} {v}" for n, v in zip(names, values, strict=False)) + " (at the start)"


def software_lines() -> list[str]:
    """Describe date, versions and which libraries serve the ops."""
    status = library_status()
    loaded = "loaded" if status.cuda_loaded else f"not loaded ({status.cuda_reason})"
    packages = ("fctfast", "triton", "torchvision", "kornia", "nvidia-dali-cuda130", "inf-cl")
    return [
        f"- {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, "
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}",
        "- " + ", ".join(f"{name} {_version(name)}" for name in packages),
        f"- the CUDA library of fctfast is {loaded}",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


class Table:
    """Rows as they come; `markdown()` at any time gives the whole page.

    Args:
        head: lines about the machine and the run.
        bandwidth: the measured copy bandwidth in GB/s; None in a dry run, which shows no times.
        planned: how many rows there will be.
        rates: measured operations a second by the name of the products, for ops that multiply.
    """

    def __init__(
        self,
        head: list[str],
        bandwidth: float | None,
        planned: int,
        rates: dict[str, float] | None = None,
    ) -> None:
        self.head, self.bandwidth, self.planned = head, bandwidth, planned
        self.rates = rates or {}
        self.rows: list[Row] = []

    @property
    def dry(self) -> bool:
        """Nothing was timed."""
        return self.bandwidth is None

    @property
    def multiplies(self) -> bool:
        """Some row's op consists of matrix products: two columns more."""
        return any(product_operations(row.case) for row in self.rows)

    @property
    def names(self) -> list[str]:
        """The peers, without those that have none of the rows' ops."""
        absent = [
            name for name in NAMES
            if self.rows and all(
                name in row.peers and row.peers[name].reason == f"{name}: {ABSENT}"
                for row in self.rows
            )
        ]  # fmt: skip
        return [name for name in NAMES if name not in absent]

    def markdown(self) -> str:
        """Return the page: header, table, reasons, how far the peers agree, cases we lose."""
        reasons: dict[str, int] = {}
        title = f"# {DRY}" if self.dry else "# The ops on a GPU"
        columns = ["op", "shape", "K", "dtype", "layout"]
        ours = ["max abs error (of the largest)"]
        if not self.dry:
            products = ["TFLOP/s", "of matmul"] if self.multiplies else []
            ours = ["kernel ms", "GB/s", "of copy", *products, *ours, "extra MiB"]
            ours += ["public call ms", "public call, wall ms"]
        columns += [f"ours: {name}" for name in ours] + self.names
        lines = [title, "", *self.head, ""]
        if len(self.rows) < self.planned:
            lines += [f"**Unfinished: {len(self.rows)} of {self.planned} rows.**", ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(self._row(row, reasons)) + " |" for row in self.rows]
        lines += [""] + [f"- [{number}] {reason}" for reason, number in reasons.items()]
        lines += ["", *self._agreement()]
        if not self.dry:
            lines += ["", *self._lost()]
        return "\n".join(lines).rstrip() + "\n"

    def _row(self, row: Row, reasons: dict[str, int]) -> list[str]:
        case = row.case
        cells = [case.name, case.size, str(case.draws), case.dtype_name, case.layout]
        kernel = row.kernel
        error = _failed(kernel, reasons) or _failed(row.public, reasons) or _error(kernel.error)
        if row.ours_failed:
            error = f"**WRONG** {error}"
        if self.dry:
            cells.append(error)
        else:
            rate = bytes_to_move(case) / (kernel.stats.median * 1e6) if kernel.stats else None
            share = f"{rate / self.bandwidth:.0%}" if rate and self.bandwidth else ""
            cells += [
                _time(kernel.stats) or _failed(kernel, reasons),
                f"{rate:,.0f}" if rate else "",
                share,
                *(self._products(row) if self.multiplies else []),
                error,
                _mib(kernel.extra),
                _time(row.public.stats) or _failed(row.public, reasons),
                _time(row.wall),
            ]
        return cells + [
            self._peer(row.peers.get(name, Cell(reason="not asked for")), row, reasons)
            for name in self.names
        ]

    def _products(self, row: Row) -> list[str]:
        operations, stats = product_operations(row.case), row.kernel.stats
        if not operations or stats is None:
            return ["", ""]
        rate = operations / (stats.median * 1e-3)
        limit = self.rates.get(products_of(row.case))
        return [f"{rate / 1e12:,.1f}", f"{rate / limit:.0%}" if limit else ""]

    def _peer(self, cell: Cell, row: Row, reasons: dict[str, int]) -> str:
        if cell.reason:
            return _failed(cell, reasons)
        note = f" [{_number(cell.other, reasons)}]" if cell.other else ""
        if cell.stats is None:
            return f"ran{note}"
        ratio = ratio_to(cell, row)
        times = f" **{ratio:.2f}x**" if ratio else ""
        memory = f", {_mib(cell.extra)} MiB" if cell.extra is not None else ""
        return f"{_time(cell.stats)}{times}{memory}{note}"

    def _agreement(self) -> list[str]:
        """For each peer, how far it is from the reference at its worst, of all its cases."""
        worst: dict[tuple[str, str], Error] = {}
        for row in self.rows:
            for name, cell in row.peers.items():
                if cell.error is None:
                    continue
                key = (name, row.case.name)
                before = worst.get(key, Error(0.0, 0.0, 0.0))
                worst[key] = Error(
                    max(before.largest, cell.error.largest),
                    max(before.relative, cell.error.relative),
                    max(before.share, cell.error.share),
                )
        return ["How far the peers are from the float64 reference, at their worst:", ""] + [
            f"- {name}, {op}: {_error(e)}; {e.share:.2%} of the elements beyond rounding"
            for (name, op), e in worst.items()
        ]

    def _lost(self) -> list[str]:
        lost = [
            f"- {row.case.label}: {name} takes {ratio:.2f} of our time"
            + (f" ({cell.other})" if cell.other else "")
            for row in self.rows
            for name, cell in row.peers.items()
            if (ratio := ratio_to(cell, row)) and ratio < 1
        ]
        return ["Cases that a peer wins:", "", *(lost or ["- none"])]


def ratio_to(cell: Cell, row: Row) -> float | None:
    """Return the peer's time over our kernel's; by the wall clock, over our public call's."""
    if cell.stats is None:
        return None
    ours = row.wall if cell.stats.clock == "wall" else row.kernel.stats
    return cell.stats.median / ours.median if ours else None


def _time(stats: Stats | None) -> str:
    if stats is None:
        return ""
    marks = (" host" if stats.host_bound > 0.5 else "") + (" wall" * (stats.clock == "wall"))
    return f"{stats.median:.4f} ({stats.q1:.4f}..{stats.q3:.4f}){marks}"


def _error(error: Error | None) -> str:
    return f"{error.largest:.1e} ({error.relative:.0e})" if error else ""


def _mib(size: int | None) -> str:
    return "" if size is None else f"{size / MIB:.1f}"


def _failed(cell: Cell, reasons: dict[str, int]) -> str:
    if not cell.reason:
        return ""
    return f"none [{_number(cell.reason, reasons)}]"


def _number(reason: str, reasons: dict[str, int]) -> int:
    return reasons.setdefault(reason, len(reasons) + 1)
