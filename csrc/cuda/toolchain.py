"""nvcc with the flags of the CMake build, and other programs of the toolkit."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class NoEnvironment(Exception):
    """The checks cannot run here at all."""


class Broken(Exception):
    """One file does not compile, or what came of it cannot be read."""


class Compiler:
    """nvcc with the flags that the CMake build gives to the CUDA library."""

    def __init__(self, root: Path, build: Path, say: Callable[[str], None]) -> None:
        nvcc = os.environ.get("CUDACXX") or "nvcc"
        if not shutil.which(nvcc):
            raise NoEnvironment("nvcc was not found: put it on PATH or set CUDACXX")
        release = re.search(r"release (\d+\.\d+)", run([nvcc, "--version"]).stdout)
        if release is None:
            raise NoEnvironment(f"{nvcc} --version: expected a release number")
        self.version = release[1]
        known = run([nvcc, "--list-gpu-arch"]).stdout
        self.archs = {int(a) for a in re.findall(r"compute_(\d+)\b", known)}
        say(f"configuring with nvcc {self.version} in {build}")
        self._commands = _configure(root, build.resolve())

    def compile(self, source: Path, arch: int) -> tuple[str, str]:
        """Return ptxas' report and the PTX; raise Broken with the compiler's own words."""
        if source.parent.name == "probes":
            command = next(iter(self._commands.values()))
        elif source in self._commands:
            command = self._commands[source]
        else:
            raise Broken(f"{source.name}: expected it among the sources in cuda.cmake, it is not")
        with tempfile.TemporaryDirectory() as scratch:
            code = f"--generate-code=arch=compute_{arch},code=sm_{arch}"
            keep = ["--keep", "--keep-dir", scratch, "-o", f"{scratch}/out.cubin"]
            done = run(
                [*command.flags, code, "-cubin", "-Xptxas=-v", *keep, str(source)],
                cwd=command.directory,
                check=False,
            )
            if done.returncode != 0:
                raise Broken(f"{source.name} sm_{arch}: nvcc failed\n{_errors(done.stderr)}")
            ptx = sorted(Path(scratch).glob("*.ptx"))
            if len(ptx) != 1:
                raise Broken(f"{source.name} sm_{arch}: expected one PTX file, got {len(ptx)}")
            return done.stdout + done.stderr, ptx[0].read_text()


@dataclass(frozen=True)
class _Command:
    directory: str
    flags: list[str]


def _configure(root: Path, build: Path) -> dict[Path, _Command]:
    cmake = shutil.which("cmake")
    if cmake is None:
        raise NoEnvironment("cmake was not found: pip install cmake")
    # One architecture that every nvcc knows; the compilations name their own.
    options = {"FCTFAST_CUDA": "ON", "CMAKE_BUILD_TYPE": "Release"}
    options |= {"CMAKE_EXPORT_COMPILE_COMMANDS": "ON", "CMAKE_CUDA_ARCHITECTURES": "80"}
    options |= {"Python_EXECUTABLE": sys.executable}
    settings = [f"-D{name}={value}" for name, value in options.items()]
    done = run([cmake, "-S", str(root), "-B", str(build), *settings], check=False)
    if done.returncode != 0:
        raise NoEnvironment(f"CMake could not configure the CUDA build\n{_errors(done.stderr)}")
    entries = json.loads((build / "compile_commands.json").read_text())
    commands = {
        Path(e["file"]).resolve(): _Command(e["directory"], compile_flags(e["command"]))
        for e in entries
        if e["file"].endswith(".cu")
    }
    if not commands:
        raise NoEnvironment("expected .cu files in compile_commands.json, got none")
    return commands


def compile_flags(command: str) -> list[str]:
    """A line of compile_commands.json without its architectures, its input and its outputs."""
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        if word in ("-o", "-c", "-MF", "-MT", "-MQ", "-gencode", "-arch"):
            next(words)
        elif word not in ("-MD", "-MMD") and not word.startswith(("--generate-code", "-arch=")):
            kept.append(word)
    return kept


def run(
    command: Sequence[str], *, check: bool = True, input: str | None = None, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program; raises NoEnvironment if it cannot be run, or with `check` if it fails."""
    try:
        return subprocess.run(  # programs from PATH, and no shell
            command, input=input, cwd=cwd, capture_output=True, text=True, check=check
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoEnvironment(f"{command[0]} could not be run: {error}") from error


def _errors(text: str) -> str:
    lines = [line for line in text.splitlines() if re.search(r"\berror\b|\bfatal\b", line, re.I)]
    return "\n".join(f"  {line}" for line in (lines or text.splitlines())[-8:])
