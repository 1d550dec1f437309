"""Build frozen settings from plain mappings and refuse whatever they do not know."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def build(kind: type[T], raw: Any, where: str, base: T | None = None) -> T:
    """Build a settings object, nested ones included.

    Args:
        kind: a dataclass.
        raw: mapping of its fields, as YAML or JSON gives it; None counts as empty.
        where: name of the mapping, for errors (``cifar10.yaml: base``).
        base: where fields come from that are not mentioned; default: their defaults.

    Returns:
        An instance. A nested object that is given in part keeps the rest of the outer one's
        default, unless it has a ``name``: which schedule it is decides what the rest means.

    Raises:
        ValueError: an unknown key (the message lists the known ones), a missing one, or a value of
            the wrong type or out of range.
    """
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        raise ValueError(f"{where}: expected keys and values, got {raw!r}")
    # To a type checker `kind` is any type: that it is a dataclass is the caller's word.
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    check_keys(raw, fields, where)
    hints = typing.get_type_hints(kind)
    if "name" in raw:
        base = None
    values = {}
    for name, value in raw.items():
        default = _default(fields[name]) if base is None else getattr(base, name)
        values[name] = convert(hints[name], value, f"{where}.{name}", default)
    try:
        return kind(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _default(field: dataclasses.Field[Any]) -> Any:
    """What a field holds that is not mentioned; None where it must be."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def check_keys(
    raw: Mapping[Any, Any], known: Sequence[str] | Mapping[str, Any], where: str
) -> None:
    """Raise a ValueError that lists the known keys if ``raw`` has another one."""
    unknown = [str(key) for key in raw if key not in known]
    if unknown:
        raise ValueError(
            f"{where}: unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)}; "
            f"known: {', '.join(known)}"
        )


def knows(hint: Any) -> bool:
    """Whether :func:`convert` can bring a value to this type."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        return all(knows(inner) for inner in typing.get_args(hint))
    plain = (int, float, bool, str, type(None), Any, Ellipsis)
    return hint in plain or dataclasses.is_dataclass(hint)


def convert(hint: Any, value: Any, where: str, default: Any = None) -> Any:
    """Bring a value to the type of a field.

    Args:
        hint: the field's annotation: int, float, bool, str, None, tuples and unions of these, or a
            dataclass.
        value: as YAML, JSON or a caller gives it.
        where: name of the field, for errors.
        default: of the field: a dataclass that the value gives in part is taken from there.

    Raises:
        ValueError: it is of another type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    elif isinstance(value, (np.ndarray, torch.Tensor)):
        value = value.tolist()
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        kinds = [option for option in options if option is not type(None)]
        if len(kinds) == 1:
            return convert(kinds[0], value, where, default)
        for kind in kinds:
            with suppress(ValueError):
                return convert(kind, value, where)
        expected = " or ".join(str(_NAMES.get(kind, kind)) for kind in kinds)
        raise ValueError(f"{where}: expected {expected}, got {value!r}")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        base = default if isinstance(default, hint) else None
        return value if isinstance(value, hint) else build(hint, value, where, base)
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{where}: expected a list, got {value!r}")
        inner, *others = typing.get_args(hint)
        if Ellipsis not in others and len(value) != 1 + len(others):
            raise ValueError(f"{where}: expected {1 + len(others)} values, got {value!r}")
        return tuple(convert(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any or (hint is bool and isinstance(value, bool)):
        return value
    # bool is an int in Python, and YAML reads 5e-4 as text because it has no point: both would
    # otherwise end up as a wrong number far from the file.
    if not isinstance(value, bool):
        if hint is float and isinstance(value, (int, float, str)):
            with suppress(ValueError, OverflowError):
                return float(value)
        elif hint in (int, str) and isinstance(value, hint):
            return value
    raise ValueError(f"{where}: expected {_NAMES.get(hint, hint)}, got {value!r}")
