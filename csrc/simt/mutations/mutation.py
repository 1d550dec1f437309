"""One change to a kernel's source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One change. `file` lies under csrc/kernels; `mode` names the build that must notice."""

    name: str
    kernel: str
    kind: str
    file: str
    old: str
    new: str
    breaks: str
    mode: str = "plain"
