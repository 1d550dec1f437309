"""What a long run says while it runs: bars on a terminal, plain lines elsewhere, or nothing.

Everything goes to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars

T = TypeVar("T")


class Task(Protocol):
    """Work of known length that is under way."""

    def advance(self, steps: int = 1, **facts: float | str) -> None:
        """Count ``steps`` more; ``facts`` are shown beside the count (``loss=.31``)."""
        ...


class Progress(Protocol):
    """Where a run reports to. It can be called as a data loader's progress callback, too."""

    def task(
        self, description: str, total: int, *, unit: str = "step", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Open a task of ``total`` units, ``done`` of which were finished before."""
        ...

    def note(self, text: str) -> None:
        """Say one line."""
        ...

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Pass an iterable through and count its items."""
        ...


def make_progress(*, quiet: bool = False, stream: IO[str] | None = None) -> Progress:
    """Choose how to report.

    Args:
        quiet: say nothing, default False.
        stream: where to write, default stderr.

    Returns:
        Nothing at all if quiet, bars on a terminal, a line every ten seconds elsewhere.
    """
    if quiet:
        return Quiet()
    stream = sys.stderr if stream is None else stream
    return Bars(stream) if stream.isatty() else Lines(stream)


class Quiet:
    """Says nothing."""

    @contextmanager
    def task(
        self, description: str, total: int, *, unit: str = "step", done: int = 0
    ) -> Iterator[Task]:
        """Open a task nobody sees."""
        yield self

    def advance(self, steps: int = 1, **facts: float | str) -> None:
        """Count silently."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Return the iterable."""
        return iterable


class Lines:
    """A plain line every ``every`` seconds and at the end of each task: for logs and CI.

    Args:
        stream: where to write.
        every: seconds between lines, default 10.
    """

    def __init__(self, stream: IO[str], *, every: float = 10.0) -> None:
        self._stream = stream
        self._every = every

    @contextmanager
    def task(
        self, description: str, total: int, *, unit: str = "step", done: int = 0
    ) -> Iterator[Task]:
        """Open a task that writes lines."""
        task = _LineTask(self, description, total, unit=unit, done=done, every=self._every)
        yield task
        task.finish()

    def note(self, text: str) -> None:
        """Write one line."""
        print(text, file=self._stream, flush=True)

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Pass items through, writing a line now and then."""
        return _counted(self, iterable, total, description)


class _LineTask:
    def __init__(
        self, lines: Lines, description: str, total: int, *, unit: str, done: int, every: float
    ) -> None:
        self._lines, self._description, self._total, self._unit = lines, description, total, unit
        self._start, self._done, self._every = done, done, every
        self._began = self._spoke = time.monotonic()
        self._facts: dict[str, float | str] = {}

    def advance(self, steps: int = 1, **facts: float | str) -> None:
        self._done += steps
        self._facts = facts
        now = time.monotonic()
        if now - self._spoke >= self._every:
            self._spoke = now
            left = (self._total - self._done) / max(self._rate(now), 1e-9)
            self._say(f"{self._rate(now):,.1f} {self._unit}/s, {duration(left)} left")

    def finish(self) -> None:
        now = time.monotonic()
        self._say(f"{self._rate(now):,.1f} {self._unit}/s, took {duration(now - self._began)}")

    def _rate(self, now: float) -> float:
        return (self._done - self._start) / max(now - self._began, 1e-9)

    def _say(self, pace: str) -> None:
        facts = "".join(f", {show_fact(name, value)}" for name, value in self._facts.items())
        self._lines.note(f"{self._description}: {self._done}/{self._total}, {pace}{facts}")


class Bars:
    """Bars with count, rate and time left, for a terminal.

    Args:
        stream: where to draw.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream)

    @contextmanager
    def task(
        self, description: str, total: int, *, unit: str = "step", done: int = 0
    ) -> Iterator[Task]:
        """Open a task with a bar of its own."""
        bars = RichBars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}"),
            console=self._console,
            # Twice a second: drawing more often costs the two cores that compute.
            refresh_per_second=2,
        )
        with bars:
            number = bars.add_task(description, total=total, completed=done, pace="", facts="")
            yield _BarTask(bars, number, unit)

    def note(self, text: str) -> None:
        """Write one line above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Pass items through under a bar."""
        return _counted(self, iterable, total, description)


class _BarTask:
    def __init__(self, bars: RichBars, number: TaskID, unit: str) -> None:
        self._bars, self._number, self._unit = bars, number, unit
        self._began, self._done = time.monotonic(), 0

    def advance(self, steps: int = 1, **facts: float | str) -> None:
        self._done += steps
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        self._bars.update(
            self._number,
            advance=steps,
            pace=f"{rate:,.1f} {self._unit}/s",
            facts=" ".join(show_fact(name, value) for name, value in facts.items()),
        )


def _counted(
    progress: Progress, iterable: Iterable[T], total: int, description: str
) -> Iterator[T]:
    with progress.task(description, total, unit="item") as task:
        for item in iterable:
            yield item
            task.advance()


def duration(seconds: float) -> str:
    """Write a time for a reader: ``42 s``, ``3:07`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def show_fact(name: str, value: float | str) -> str:
    """Write one fact: ``loss .31`` as ``loss 0.310``."""
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:.3f}"
