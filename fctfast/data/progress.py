"""How loading tells a person that it moves: a callback that wraps an iterable."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class ProgressCallback(Protocol):
    """Wraps an iterable, hands every item on and shows how far it is."""

    def __call__(self, iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
        """Return an iterable of the same items.

        Args:
            iterable: the work.
            total: how many items it has.
            description: what is being done, for a person.
        """
        ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


def no_progress(iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Show nothing.

    Args:
        iterable: the work.
        total: not used.
        description: not used.

    Returns:
        The iterable itself.
    """
    return iterable


def terminal_progress(iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
    """Show a bar with rate and time left on stderr, if stderr is a terminal.

    Args:
        iterable: the work.
        total: how many items it has.
        description: what is being done.

    Returns:
        An iterable of the same items.
    """
    if not sys.stderr.isatty():
        return iterable
    return _bar(iterable, total, description)


def _bar(iterable: Iterable[T], total: int, description: str) -> Iterable[T]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(iterable, total=total, description=description)
