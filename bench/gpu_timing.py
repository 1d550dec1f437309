"""Clocks for `bench/gpu.py`: CUDA events around one call, on a cold cache, with the host out of it.

A sample is: hold the GPU, empty its cache, event, the call, event. The hold keeps the GPU busy
while the host issues everything behind it, so launches cost nothing unless the call itself waits
for the GPU (a copy from pageable memory does) or issues more than the queue takes. A sample of
which the GPU had already begun when the host was done is counted as host-bound, and shown so.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

MIB = 2**20
MAX_HOLD_MS = 20.0
FEWEST_SAMPLES = 5


@dataclass(frozen=True)
class Stats:
    """Median and quartiles of many samples, in milliseconds.

    Attributes:
        host_bound: share of the samples in which the GPU may have waited for the host.
        clock: "events", or "wall" where the work runs on streams that are not torch's.
    """

    median: float
    q1: float
    q3: float
    count: int
    host_bound: float = 0.0
    clock: str = "events"


def summarise(samples: Sequence[float], host_bound: int = 0, clock: str = "events") -> Stats:
    """Return median and quartiles (linear interpolation, both ends included)."""
    if not samples:
        raise ValueError("summarise: expected at least one sample, got none")
    if len(samples) == 1:
        q1 = median = q3 = samples[0]
    else:
        q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return Stats(median, q1, q3, len(samples), host_bound / len(samples), clock)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let torch make products of float32 matrices on CUDA in tf32, or forbid it."""
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


class Timer:
    """Times calls on one CUDA device; holds the buffer that empties its cache.

    Args:
        device: a CUDA device, already the current one.
        l2_bytes: size of its L2 cache.
        repeats: samples a call gets, unless that takes longer than `budget_s`.
        budget_s: seconds for one call's samples; at least five are taken all the same.
    """

    def __init__(
        self, device: torch.device, l2_bytes: int, *, repeats: int = 50, budget_s: float = 1.0
    ) -> None:
        self.repeats, self.budget_s = repeats, budget_s
        # Twice the cache at the least; some devices report no size.
        self.flush_bytes = 2 * max(l2_bytes, 32 * MIB)
        self._buffer = torch.empty(self.flush_bytes // 4, dtype=torch.float32, device=device)
        self._cycles_per_ms = self._calibrate()

    def flush(self) -> None:
        """Leave nothing of the call's data in the L2 cache, and no dirty lines.

        Written, then read: lines left dirty would be written back at the measured call's expense.
        """
        self._buffer.zero_()
        self._buffer.sum()

    def events(self, call: Callable[[], object]) -> Stats:
        """Time `call` by events; the first calls, which compile and allocate, do not count."""
        hold_ms = self._warm_up(call)
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        samples: list[float] = []
        host_bound = 0
        began = time.perf_counter()
        while self._goes_on(len(samples), began):
            torch.cuda._sleep(int(hold_ms * self._cycles_per_ms))
            self.flush()
            start.record()
            call()
            end.record()
            host_bound += start.query()
            torch.cuda.synchronize()
            samples.append(start.elapsed_time(end))
        return summarise(samples, host_bound)

    def wall(self, call: Callable[[], object]) -> Stats:
        """Time `call` by the wall clock, from an idle GPU with a cold cache to an idle GPU."""
        self._warm_up(call)
        samples: list[float] = []
        began = time.perf_counter()
        while self._goes_on(len(samples), began):
            self.flush()
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            samples.append((time.perf_counter() - start) * 1e3)
        return summarise(samples, clock="wall")

    def copy_bandwidth(self) -> tuple[float, int]:
        """Measure the device's own copy, the limit that memory-bound ops are held against.

        Returns:
            GB/s (1e9 bytes, read plus written) and the bytes copied in one direction.
        """
        free = torch.cuda.mem_get_info(self._buffer.device)[0]
        size = min(2**30, free // 8)
        source = torch.ones(size // 4, dtype=torch.float32, device=self._buffer.device)
        target = torch.empty_like(source)
        stats = self.events(lambda: target.copy_(source))
        return 2 * source.nbytes / (stats.median * 1e6), source.nbytes

    def product_rates(self, side: int = 8192) -> dict[str, float]:
        """Measure torch's own square matrix products, the limit of ops that multiply.

        Returns:
            Operations a second of float32, tf32 and float16 products, a multiply-add as two.
        """
        rates = {}
        for name in ("float32", "tf32", "float16"):
            dtype = torch.float16 if name == "float16" else torch.float32
            # Of random numbers: products of zeros draw less power, and clocks stay higher.
            a, b = (torch.randn(side, side, device=self._buffer.device).to(dtype) for _ in range(2))
            out = torch.empty_like(a)
            with tf32(name == "tf32"):
                stats = self.events(lambda a=a, b=b, out=out: torch.mm(a, b, out=out))
            rates[name] = 2 * side**3 / (stats.median * 1e-3)
        return rates

    def _warm_up(self, call: Callable[[], object]) -> float:
        """Call three times or for 50 ms, slow ones once; return for how long to hold the GPU."""
        host_ms = 0.0
        began = time.perf_counter()
        for number in range(20):
            start = time.perf_counter()
            call()
            host_ms = (time.perf_counter() - start) * 1e3
            torch.cuda.synchronize()
            elapsed = time.perf_counter() - began
            if elapsed > 1.0 or (number >= 2 and elapsed > 0.05):
                break
        return min(2 * host_ms + 0.2, MAX_HOLD_MS)

    def _goes_on(self, taken: int, began: float) -> bool:
        late = time.perf_counter() - began > self.budget_s
        return taken < self.repeats and not (late and taken >= FEWEST_SAMPLES)

    def _calibrate(self) -> float:
        cycles = 5_000_000
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        for _ in range(2):  # the first one wakes the clocks
            start.record()
            torch.cuda._sleep(cycles)
            end.record()
            torch.cuda.synchronize()
        return cycles / start.elapsed_time(end)


def extra_memory(call: Callable[[], Tensor]) -> int:
    """Return the bytes a warm call needs at its peak beyond its inputs and its output."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    made = call()
    torch.cuda.synchronize()
    return max(0, torch.cuda.max_memory_allocated() - before - made.nbytes)
