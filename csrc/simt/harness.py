"""Builds the executor and runs the CUDA kernels on it: for the tests and for `mutate.py`.

Run as a program it is the inside of a sanitizer's process, where torch is not imported:
`python harness.py MODULE CASES.npz RESULTS.npz`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

SOURCE = Path(__file__).resolve().parent
MODES = ("plain", "address", "thread")
_RUNTIMES = {"plain": (), "address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
_OPTIONS = {
    # The preloaded runtimes see Python as well, whose leaks are its own.
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
}

Case = tuple[str, list[Any]]  # a function of the module, and what it is called with


class Unavailable(RuntimeError):
    """The machine lacks a compiler or a sanitizer's runtime; the text says which."""


def _compiler() -> str:
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise Unavailable("no g++: the executor cannot be built")
    return found


def runtimes(mode: str) -> list[str]:
    """Paths of the libraries that a process must preload for `mode`; none for "plain"."""
    paths = []
    for name in _RUNTIMES[mode]:
        answer = subprocess.run(
            [_compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(answer).is_absolute():
            raise Unavailable(f"g++ has no {name}: mode {mode} cannot run")
        paths.append(answer)
    return paths


def build(mode: str, root: Path, source: Path = SOURCE) -> Path:
    """Compile the executor with the kernels beside it.

    Args:
        mode: "plain", "address" or "thread".
        root: folder of the builds; one that is there is brought up to date.
        source: the folder `csrc/simt` of the checkout to build.

    Returns:
        Path of the module.

    Raises:
        Unavailable: no g++, or not the sanitizer's runtime.
        RuntimeError: it does not compile; the text holds the compiler's words.
    """
    from filelock import FileLock

    runtimes(mode)
    root.mkdir(parents=True, exist_ok=True)
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": tools, "CXX": _compiler()}
    if (ninja := shutil.which("ninja", path=tools)) is None:
        raise Unavailable("no ninja: pip install 'fctfast[test]'")
    folder = root / mode
    with FileLock(root / f"{mode}.lock"):
        _run(
            "cmake", f"-S{source}", f"-B{folder}", "-GNinja", f"-DFCTFAST_SIMT_MODE={mode}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DCMAKE_MAKE_PROGRAM={ninja}",  # that of an environment which is gone is remembered
            environment=environment,
        )  # fmt: skip
        _run("cmake", "--build", str(folder), environment=environment)
    (module,) = folder.glob(f"fctfast_simt_{mode}.*.so")
    return module


def _run(*command: str, environment: dict[str, str]) -> None:
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise Unavailable(f"no {command[0]}: pip install 'fctfast[test]'")
    done = subprocess.run(
        [program, *command[1:]], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def load(path: Path) -> ModuleType:
    """Import a built module; one of "address" or "thread" needs its runtime preloaded."""
    spec = importlib.util.spec_from_file_location(path.name.split(".")[0], path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module in {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_source_line(message: str, module: Path) -> str:
    """Replace "[code 0x...]" in an error of the plain mode by lines, the innermost call first."""
    found = re.search(r" \[code ([0-9a-fx ]+)\]", message)
    tool = shutil.which("addr2line")
    if found is None or tool is None:
        return message
    places = subprocess.run(
        [tool, "-i", "-e", str(module), *found[1].split()],
        capture_output=True, text=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    lines = [Path(os.path.normpath(place.split(" ")[0])) for place in places]
    calls = [line.name for line in lines if _is_of_a_kernel(line)]
    return message.replace(found[0], f" [{' < '.join(dict.fromkeys(calls))}]" if calls else "")


def _is_of_a_kernel(line: Path) -> bool:
    return "kernels" in line.parts or "samples" in line.parts


def run_in_mode(
    mode: str, module: Path, cases: Sequence[Case], scratch: Path, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run cases in a process of their own under a sanitizer; results go to scratch/results.npz."""
    _save(scratch / "cases.npz", cases)
    environment = {**os.environ, **_OPTIONS, "LD_PRELOAD": " ".join(runtimes(mode))}
    return subprocess.run(
        [sys.executable, __file__, str(module), str(scratch / "cases.npz"),
         str(scratch / "results.npz")],
        env=environment, capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def results(scratch: Path) -> list[np.ndarray]:
    """What the cases of `run_in_mode` returned, in their order."""
    with np.load(scratch / "results.npz", allow_pickle=False) as stored:
        return [stored[str(i)] for i in range(len(stored.files))]


def _save(path: Path, cases: Sequence[Case]) -> None:
    arrays: dict[str, np.ndarray] = {}
    words = []
    for function, arguments in cases:
        listed: list[Any] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                listed.append({"array": len(arrays)})
                arrays[str(len(arrays))] = argument
            else:
                listed.append(argument)
        words.append([function, listed])
    np.savez(path, words=json.dumps(words), **arrays)


def _load(path: Path) -> Iterator[Case]:
    with np.load(path, allow_pickle=False) as stored:
        for function, listed in json.loads(str(stored["words"])):
            yield function, [stored[str(a["array"])] if isinstance(a, dict) else a for a in listed]


def main(module: str, cases: str, out: str) -> None:
    """Run stored cases one after the other and store what they return."""
    loaded = load(Path(module))
    made: dict[str, np.ndarray] = {}
    for number, (function, arguments) in enumerate(_load(Path(cases))):
        print(f"case {number}: {function}", file=sys.stderr, flush=True)
        answer = getattr(loaded, function)(*arguments)
        if answer is not None:  # "configure" gives none
            made[str(len(made))] = answer
    np.savez(out, **made)


if __name__ == "__main__":
    main(*sys.argv[1:])
