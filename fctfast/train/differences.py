"""Compare two sets of settings and name what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings and sequences into one mapping with dotted keys.

    Args:
        settings: what JSON can hold.
        prefix: put before each key.
    """
    if isinstance(settings, Mapping):
        items = [(str(key), value) for key, value in settings.items()]
    elif isinstance(settings, Sequence) and not isinstance(settings, str):
        items = [(str(index), value) for index, value in enumerate(settings)]
    else:
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def differing_keys(there: Any, now: Any) -> list[str]:
    """Name the keys whose values differ, with both values.

    A name that one side does not know was off there: it differs from no None, False or 0, so that a
    setting that was added since, off by default, leaves older runs what they were. Items of
    sequences are no names: one more is a difference.

    Args:
        there: settings of the stored run.
        now: settings of this one.

    Returns:
        ``["base.lr (0.1 there, 0.01 now)", ...]``, empty if nothing differs.
    """
    old, new = flatten(there), flatten(now)
    nothing = "nothing"
    return [
        f"{key} ({old.get(key, nothing)} there, {new.get(key, nothing)} now)"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, nothing) != new.get(key, nothing) and not _is_off(key, old, new)
    ]


def _is_off(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a name is known to one side alone, and off there."""
    if (key in old and key in new) or key.rpartition(".")[2].isdigit():
        return False
    value = old.get(key, new.get(key))
    return value is None or (isinstance(value, (bool, int, float)) and value == 0)
