"""The one module through which every file is written, and read back with an error that explains.

A file appears under its name only when it is complete: it is written to a temporary name in its
destination folder, flushed, fsynced and renamed, so a kill at any instant leaves the old file or
the new one, never half of one; `atomic_folder` does the same for a folder. Nothing here reads or
writes pickle.
"""

from __future__ import annotations

from fctfast.io.arrays import Array, read_arrays, read_table, write_arrays, write_table
from fctfast.io.atomic import PathLike, atomic_open, write_bytes, write_text
from fctfast.io.folders import as_folder, atomic_folder
from fctfast.io.hashes import sha256_file, sha256_tensor
from fctfast.io.json_file import read_json, write_json
from fctfast.io.tensors import read_tensors, write_tensors

__all__ = [
    "Array",
    "PathLike",
    "as_folder",
    "atomic_folder",
    "atomic_open",
    "read_arrays",
    "read_json",
    "read_table",
    "read_tensors",
    "sha256_file",
    "sha256_tensor",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_table",
    "write_tensors",
    "write_text",
]
