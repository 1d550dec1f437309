"""The compiled libraries: what they link to, what they may execute, how they are found."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fctfast
from fctfast.ops import library_status

FOLDER = Path(library_status().folder)


def tool_output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"binutils: {command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def libraries() -> list[Path]:
    found = sorted(FOLDER.glob("libfctfast_*.so"))
    assert FOLDER / "libfctfast_ops.so" in found
    names = ["baseline"] + (["avx2", "avx512"] if platform.machine() == "x86_64" else [])
    assert {f"libfctfast_cpu_{name}.so" for name in names} <= {p.name for p in found}
    return found


@pytest.mark.parametrize("library", libraries(), ids=lambda path: path.stem)
def test_depends_on_no_torch_or_python_minor_version(library: Path) -> None:
    undefined = tool_output("nm", "-D", "-C", "--undefined-only", str(library))
    assert not re.findall(r"\bat::|\bc10::|\btorch::|\bPy[A-Z_]", undefined)
    if library.stem == "libfctfast_ops":
        assert "torch_library_impl" in undefined  # the stable ABI's own entry is what it uses
    if library.stem.startswith("libfctfast_cpu"):
        assert "torch" not in undefined


@pytest.mark.parametrize("name", ["libfctfast_ops.so", "libfctfast_cpu_baseline.so"])
def test_baseline_code_holds_no_avx_instruction(name: str) -> None:
    code = tool_output("objdump", "-d", "--no-show-raw-insn", str(FOLDER / name))
    assert len(code.splitlines()) > 1000
    wide = [line for line in code.splitlines() if re.search(r"%[yz]mm\d|\tv[a-z]+\s.*%xmm", line)]
    assert not wide, wide[:3]


def test_vector_code_exports_one_function_only() -> None:
    for library in FOLDER.glob("libfctfast_cpu_*.so"):
        exported = tool_output("nm", "-D", "--defined-only", str(library)).split("\n")
        names = [line.split()[-1] for line in exported if line]
        assert names == ["fctfast_cpu_kernels"], library.name


def test_source_folder_without_a_library_says_so_in_one_line(tmp_path: Path) -> None:
    package = Path(next(p for p in fctfast.__path__ if (Path(p) / "ops").is_dir()))
    shutil.copytree(package, tmp_path / "fctfast", ignore=shutil.ignore_patterns("_lib", "*.so"))
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\nimport fctfast.ops",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.match(r"ImportError: fctfast: imported from .*pip install \.", last), done.stderr


def test_status_explains_the_cuda_library() -> None:
    status = library_status()
    assert status.instruction_set in ("baseline", "avx2", "avx512")
    assert status.cuda_built == (FOLDER / "libfctfast_cuda.so").is_file()
    assert status.cuda_loaded == (status.cuda_reason == "")
    if status.cuda_built and torch.version.cuda is not None:
        built_for = (FOLDER / "cuda_version.txt").read_text().split(".")[0]
        assert status.cuda_loaded == (built_for == torch.version.cuda.split(".")[0])


def test_cuda_device_is_served() -> None:
    if not torch.cuda.is_available():
        pytest.skip("CUDA: no GPU, so no op test runs on a device")
    assert library_status().cuda_loaded, library_status().cuda_reason
