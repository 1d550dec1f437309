"""JSON that compares well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fctfast.io.atomic import PathLike, require_file, write_text


def write_json(path: PathLike, obj: Any) -> None:
    """Write JSON that compares well: sorted keys, indent 2, a line end, no NaN.

    Args:
        path: the file to write.
        obj: dicts with string keys, lists, strings, finite numbers, booleans and None.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
        TypeError: a value is of another type.
    """
    try:
        text = json.dumps(obj, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise ValueError(
            f"cannot write {path}: JSON has no NaN or infinity ({error}); write None instead"
        ) from error
    except TypeError as error:
        raise TypeError(f"cannot write {path} as JSON: {error}") from error
    write_text(path, text + "\n")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Args:
        path: the file to read.

    Returns:
        The decoded value.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is no JSON.
    """
    require_file(path, "JSON file")
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); it is damaged or was not written by fctfast: "
            "delete it or restore it"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
