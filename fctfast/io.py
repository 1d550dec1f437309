"""The one module through which every file is written, and read back with an error that explains.

A file appears under its name only when it is complete: it is written to a temporary name in its
destination folder, flushed, fsynced and renamed, so a kill at any instant leaves the old file or
the new one, never half of one. Nothing here reads or writes pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors
import safetensors.torch
import torch

PathLike: TypeAlias = str | os.PathLike[str]
Array: TypeAlias = npt.NDArray[Any]
Column: TypeAlias = Array | torch.Tensor | Sequence[Any]

_METADATA_KEY = "fctfast"
_READ_BLOCK = 1 << 20


@contextmanager
def atomic_open(path: PathLike, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when the block ends well.

    The parent folder is made if it is missing. If the block raises, the temporary file is removed
    and what stood under the name before stays as it was.

    Args:
        path: the file to write.
        mode: ``"wb"`` for bytes or ``"w"`` for UTF-8 text with ``\\n`` line ends; default ``"wb"``.

    Yields:
        The open temporary file.

    Raises:
        ValueError: another mode.
        IsADirectoryError: path is a folder.
        OSError: the folder cannot be written to, or the disk is full.

    Source: DESIGN 6.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_open: expected mode 'wb' or 'w', got {mode!r}")
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder; give the name of a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private (0600), and the result must follow the user's umask.
    temporary = target.parent / f".{target.name[:100]}.{secrets.token_hex(6)}.tmp"
    binary = mode == "wb"
    file = open(  # noqa: SIM115 (closed below, before the rename)
        temporary,
        "xb" if binary else "x",
        encoding=None if binary else "utf-8",
        newline=None if binary else "\n",
    )
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write bytes atomically.

    Args:
        path: the file to write.
        data: its whole content.
    """
    with atomic_open(path) as file:
        file.write(data)


def write_text(path: PathLike, text: str) -> None:
    """Write UTF-8 text atomically.

    Args:
        path: the file to write.
        text: its whole content.
    """
    with atomic_open(path, "w") as file:
        file.write(text)


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
    _require_file(path, "JSON file")
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); it is damaged or was not written by fctfast: "
            "delete it or restore it"
        ) from error


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
    _require_file(path, "Parquet table")
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
    _require_file(path, ".npz file")
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


def write_tensors(
    path: PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file.

    Args:
        path: the file to write.
        tensors: name -> tensor of any shape, dtype and device; stored on the CPU, contiguous.
        metadata: name -> text stored beside them; default none.

    Raises:
        TypeError: metadata holds something else than text.
    """
    described = dict(metadata or {})
    for key, value in described.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"cannot write {path}: metadata must be text, got {key!r}: {value!r}")
    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # One entry of sorted JSON: safetensors writes its own entries in an order that changes from
    # run to run, and the same weights must give the same bytes.
    header = {_METADATA_KEY: json.dumps(described, sort_keys=True)}
    write_bytes(path, safetensors.torch.save(stored, metadata=header))


def read_tensors(path: PathLike) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file, ours or another program's.

    Args:
        path: the file to read.

    Returns:
        (tensors on the CPU, metadata).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is no safetensors (a .pt or .pth is a pickle: refused).
    """
    _require_file(path, "safetensors file")
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            raw: dict[str, str] = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        ours = raw.pop(_METADATA_KEY, None)
        return tensors, raw if ours is None else {**raw, **json.loads(ours)}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file: {error}. It is damaged or in another "
            "format; a .pt or .pth file is a pickle, which can run code and is not read here: "
            "save its weights with safetensors.torch.save_file first"
        ) from error


def sha256_file(path: PathLike) -> str:
    """Hash a file's content.

    Args:
        path: the file to read.

    Returns:
        SHA-256 in 64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is no such file.
    """
    _require_file(path, "file")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_tensor(tensor: torch.Tensor) -> str:
    """Hash a tensor's dtype, shape and values; strides and device do not count.

    Args:
        tensor: any shape, dtype and device.

    Returns:
        SHA-256 in 64 hexadecimal digits.
    """
    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype}{list(plain.shape)}".encode("ascii"))
    if plain.numel():
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost in a power cut. Not every system can open a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _require_file(path: PathLike, what: str) -> None:
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"expected a {what}, got the folder {target}")
    if not target.exists():
        raise FileNotFoundError(f"no such {what}: {target}")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


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
