"""A kernel as the checks see it."""

from __future__ import annotations

from dataclasses import dataclass

from ptx_report import Resources


@dataclass(frozen=True)
class Kernel:
    """One function for one architecture; `entry` is false for a function that was not inlined."""

    name: str
    arch: int
    resources: Resources
    threads: int | None = None
    body: str = ""
    entry: bool = True

    def __str__(self) -> str:
        return f"sm_{self.arch} {self.name}"
