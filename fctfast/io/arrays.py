"""Columns as Parquet, NumPy arrays as .npz; neither holds pickle."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from fctfast.io.atomic import PathLike, atomic_open, require_file

Array: TypeAlias = npt.NDArray[Any]
Column: TypeAlias = Array | torch.Tensor | Sequence[Any]


def write_table(path: PathLike, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length as one Parquet file.

    Args:
        path: the file to write.
        columns: name -> values. Arrays and tensors [N] keep their type; a list of strings may hold
            None; an empty list counts as strings.

    Raises:
        ValueError: lengths differ, an array is not one-dimensional, or a type has no Parquet form.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"cannot write {path}: columns differ in length: {lengths}")
    try:
        table = pa.table({name: _arrow_column(name, value) for name, value in columns.items()})
    except (pa.ArrowException, UnicodeError) as error:
        raise ValueError(f"cannot write {path}: {error}") from error
    with atomic_open(path) as file:
        pq.write_table(table, file, compression="zstd")


def read_table(path: PathLike) -> dict[str, Any]:
    """Read a Parquet file into columns.

    Args:
        path: the file to read.

    Returns:
        name -> NumPy array for numbers and booleans without gaps, otherwise a list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is no Parquet.
    """
    require_file(path, "Parquet table")
    try:
        with open(path, "rb") as file:
            table = pq.ParquetFile(file).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable Parquet table: {error}") from error
    return {name: _plain_column(table.column(name)) for name in table.column_names}


def write_arrays(path: PathLike, arrays: Mapping[str, Array]) -> None:
    """Write NumPy arrays as one uncompressed .npz without pickle.

    Args:
        path: the file to write, ending in .npz.
        arrays: name -> array of numbers, booleans or fixed-width strings.

    Raises:
        ValueError: an array holds Python objects, which only pickle could store.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(
                f"cannot write {path}: array {name!r} holds Python objects; convert it to numbers "
                "or to fixed-width strings"
            )
    with atomic_open(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # A ZipInfo carries a fixed date, so the same arrays give the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: PathLike) -> dict[str, Array]:
    """Read every array of a .npz, refusing pickled objects.

    Args:
        path: the file to read.

    Returns:
        name -> array.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no .npz, or holds pickled objects.
    """
    require_file(path, ".npz file")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single .npy array, not an archive of named arrays")
        with archive:
            return {name: archive[name] for name in archive.files}
    except MemoryError:
        raise
    except Exception as error:  # np.load raises whatever its zip and header parsers raise
        raise ValueError(
            f"{path} is not a readable .npz of plain arrays: {error} (pickled objects are refused, "
            "because reading them can run code)"
        ) from error


def _arrow_column(name: str, values: Column) -> pa.Array:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"column {name!r} must be one-dimensional, got {list(values.shape)}")
        return pa.array(values)
    text = all(value is None or isinstance(value, str) for value in values)
    return pa.array(list(values), type=pa.string() if text else None)


def _plain_column(column: pa.ChunkedArray) -> Any:
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    # Copied: Arrow's own memory is read-only, which torch.from_numpy warns about.
    return np.array(column.to_numpy()) if numeric and not column.null_count else column.to_pylist()
