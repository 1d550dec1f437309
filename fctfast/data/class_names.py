"""Names for classes when a source has none, or none that fit."""

from __future__ import annotations

from collections.abc import Iterable


def numbered_classes(count: int) -> tuple[str, ...]:
    """Name classes by their numbers, for sources that have no names.

    Args:
        count: how many.

    Returns:
        ``("0", "1", ...)``.
    """
    return tuple(str(number) for number in range(count))


def checked_class_names(names: Iterable[object], count: int) -> tuple[str, ...]:
    """Use a source's class names if there are enough of them, else numbers.

    Args:
        names: what the source says, possibly nothing.
        count: how many classes the labels need.

    Returns:
        At least ``count`` names.
    """
    given = tuple(str(name) for name in names)
    usable = len(given) >= count and len(set(given)) == len(given)
    return given if usable and given else numbered_classes(count)
