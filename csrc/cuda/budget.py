"""Registers and shared memory that each kernel may use, by nvcc's version: budget.json."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from kernel import Kernel

Budget = dict[str, dict[str, dict[str, int]]]
"""Architecture -> kernel -> registers, shared."""


def check_budget(kernels: Iterable[Kernel], budget: Budget) -> list[str]:
    """Neither more than was recorded for this nvcc, nor kernels that only one side knows."""
    wrong = []
    present: dict[str, set[str]] = {}
    for k in kernels:
        present.setdefault(str(k.arch), set()).add(k.name)
        allowed = budget.get(str(k.arch), {}).get(k.name)
        if allowed is None:
            wrong.append(f"{k}: expected an entry in budget.json, got none: run with --update")
            continue
        for what in ("registers", "shared"):
            used = getattr(k.resources, what)
            if used > allowed[what]:
                wrong.append(
                    f"{k}: expected at most {allowed[what]} {what}, got {used}: find out why; if "
                    "it is wanted, run with --update and commit budget.json"
                )
    for arch, names in present.items():
        wrong += [
            f"sm_{arch} {name}: expected a kernel of this name, as in budget.json, got none: "
            "run with --update if it was removed or renamed"
            for name in sorted(budget.get(arch, {}).keys() - names)
        ]
    return wrong


def updated(old: Budget, kernels: Iterable[Kernel]) -> Budget:
    """The budget with the architectures of these kernels replaced by what they use."""
    kernels = list(kernels)
    new: Budget = {arch: v for arch, v in old.items() if int(arch) not in {k.arch for k in kernels}}
    for k in kernels:
        numbers = {"registers": k.resources.registers, "shared": k.resources.shared}
        new.setdefault(str(k.arch), {})[k.name] = numbers
    return new


def dump_budgets(budgets: dict[str, Budget]) -> str:
    """JSON with one line a kernel, in an order that does not change."""
    versions = {
        version: {
            arch: {name: json.dumps(used, sort_keys=True) for name, used in sorted(kernels.items())}
            for arch, kernels in sorted(archs.items(), key=lambda item: int(item[0]))
        }
        for version, archs in sorted(budgets.items(), key=lambda item: _numbers(item[0]))
    }
    text = json.dumps(versions, indent=1)
    return re.sub(r'"(\{.*\})"', lambda m: m[1].replace('\\"', '"'), text) + "\n"


def _numbers(version: str) -> list[int]:
    return [int(n) for n in version.split(".")]


def write_atomically(path: Path, text: str) -> None:
    """Never leave half a file behind."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as out:
        out.write(text)
    os.chmod(out.name, 0o644)  # a temporary file is the owner's alone
    os.replace(out.name, path)
