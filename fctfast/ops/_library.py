"""Finding and loading the compiled libraries, once, at import."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

_NAMES = {"ops": "libfctfast_ops.so", "cuda": "libfctfast_cuda.so"}


@dataclass(frozen=True)
class LibraryStatus:
    """What of the compiled code is here.

    Attributes:
        folder: where the libraries lie.
        instruction_set: what the CPU kernels in use were compiled for.
        cuda_built: the CUDA library was built.
        cuda_loaded: it was loaded, so that CUDA tensors are served.
        cuda_reason: why it was not built or loaded; empty when it was.
    """

    folder: str
    instruction_set: str
    cuda_built: bool
    cuda_loaded: bool
    cuda_reason: str


def _candidate_folders() -> list[Path]:
    # An editable install has two roots: the checkout and site-packages, where the libraries are.
    spec = find_spec("fctfast")
    roots = list(spec.submodule_search_locations or []) if spec else []
    return [Path(root) / "_lib" for root in roots]


def _find(name: str) -> Path | None:
    for folder in _candidate_folders():
        if (folder / name).is_file():
            return folder / name
    return None


def _load_ops() -> Path:
    path = _find(_NAMES["ops"])
    if path is None:
        raise ImportError(
            f"fctfast: imported from {Path(__file__).parents[1]}, where no built library is; run "
            "`pip install .` in the source folder and import from another folder"
        )
    torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    return path.parent


def _load_cuda() -> tuple[bool, bool, str]:
    path = _find(_NAMES["cuda"])
    if path is None:
        return False, False, "not built: nvcc was not found, or FCTFAST_CUDA=OFF, at install"
    if torch.version.cuda is None:
        return True, False, "this torch is built without CUDA"
    built_for = (path.parent / "cuda_version.txt").read_text().strip()
    if built_for.split(".")[0] != torch.version.cuda.split(".")[0]:
        return True, False, f"built with CUDA {built_for}, this torch has CUDA {torch.version.cuda}"
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        return True, False, str(error.__cause__ or error)  # the cause names the symbol or file
    return True, True, ""


_FOLDER = _load_ops()
_CUDA = _load_cuda()


def library_status() -> LibraryStatus:
    """Report which compiled libraries are in use, for `fctfast doctor` and bug reports.

    Returns:
        The status of the CPU and CUDA libraries.
    """
    return LibraryStatus(str(_FOLDER), torch.ops.fctfast.instruction_set(), *_CUDA)
