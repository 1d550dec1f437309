"""Data sources: one file each in :mod:`fctfast.data.sources`, found by themselves."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fctfast.data.image_set import ImageSet
from fctfast.data.request import Request

Accepts: TypeAlias = Callable[[Any], bool]
Opens: TypeAlias = Callable[[Any, Request], ImageSet]


@dataclass(frozen=True)
class Source:
    """One kind of place that images come from.

    Args:
        name: a short name for messages and lists.
        description: what it reads, in one line.
        accepts: says, without reading images, whether this source reads the thing given.
        opens: reads it.
        rank: sources are asked in this order, the specific before the general; default 50.
    """

    name: str
    description: str
    accepts: Accepts
    opens: Opens
    rank: int = 50


_SOURCES: dict[str, Source] = {}


def register(
    name: str, description: str, *, accepts: Accepts, rank: int = 50
) -> Callable[[Opens], Opens]:
    """Decorate the function that opens a source.

    Args:
        name: a short name, unique.
        description: what it reads, in one line.
        accepts: as :class:`Source`.
        rank: as :class:`Source`; default 50.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        ValueError: the name is taken.
    """

    def keep(opens: Opens) -> Opens:
        if name in _SOURCES:
            raise ValueError(f"two data sources are called {name!r}; choose another name")
        _SOURCES[name] = Source(name, description, accepts, opens, rank)
        return opens

    return keep


def sources() -> tuple[Source, ...]:
    """List every source, in the order in which they are asked.

    Returns:
        The registered sources.
    """
    package = importlib.import_module("fctfast.data.sources")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(_SOURCES.values(), key=lambda source: (source.rank, source.name)))
