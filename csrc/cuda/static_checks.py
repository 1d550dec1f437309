"""Checks what nvcc makes of the kernels, without a GPU: run it wherever nvcc and torch are.

Compiles every csrc/cuda/*.cu with the flags of the CMake build and checks, for each kernel and
architecture: no spills and no local memory, registers and shared memory within budget.json, no
atomics, the wide accesses that CLAIMS promises, the blocks on a unit that launches count on.
csrc/cuda/probes/*.cu only have to be accepted by ptxas and to match their own `// expect: <regex>`
lines. Prints a table of occupancies.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from budget import Budget, check_budget, dump_budgets, updated, write_atomically
from claims import check_claims
from kernel import Kernel
from occupancy import check_planned, occupancy_table
from ptx_report import Resources, atomics, demangle, parse_ptx, parse_ptxas
from toolchain import Broken, Compiler, NoEnvironment

HERE = Path(__file__).resolve().parent
ARCHS = (75, 80, 86, 90, 100, 120)
PROBE_ARCHS = (80, 90, 100, 120)

# ---- the checks: each returns what is wrong


def check_memory(kernels: Iterable[Kernel]) -> list[str]:
    """No registers spilled, no arrays in local memory."""
    wrong = []
    for k in kernels:
        r = k.resources
        if r.spill_stores or r.spill_loads:
            wrong.append(
                f"{k}: expected no spills, got {r.spill_stores} bytes stored and {r.spill_loads} "
                f"loaded at {r.registers} registers: keep fewer values alive, or write "
                "__launch_bounds__(threads, 1): without the 1 ptxas may spill for occupancy"
            )
        elif r.stack:
            wrong.append(
                f"{k}: expected no stack frame, got {r.stack} bytes: index local arrays by "
                "constants only (unroll the loop), keep no address of a local"
            )
    return wrong


def check_atomics(kernels: Iterable[Kernel]) -> list[str]:
    """Results that do not depend on the order in which threads arrive."""
    return [
        f"{k}: expected no atomics, got {', '.join(found)}: let one thread own each sum"
        for k in kernels
        if (found := atomics(k.body))
    ]


# ---- the run


def kernels_of(name: str, arch: int, report: str, ptx: str) -> list[Kernel]:
    """The functions of one compiled file."""
    resources, functions = parse_ptxas(report), parse_ptx(ptx)
    names = demangle(functions.keys() | resources.keys())
    if missing := [f for f, v in functions.items() if v.entry and f not in resources]:
        raise Broken(f"{name} sm_{arch}: ptxas reported nothing of {', '.join(missing)}")
    if not any(v.entry for v in functions.values()):
        raise Broken(f"{name} sm_{arch}: expected kernels in the PTX, got none")
    found = []
    for mangled in sorted(names):
        f, r = functions.get(mangled), resources.get(mangled, Resources())
        if f is None:  # a subroutine of ptxas' own
            found.append(Kernel(names[mangled], arch, r, entry=False))
        else:
            found.append(Kernel(names[mangled], arch, r, f.threads, f.body, f.entry))
    return found


def twins(kernels: Iterable[Kernel]) -> list[str]:
    """Kernels that one readable name cannot tell apart would share a line of the budget."""
    names = [str(k) for k in kernels]
    return [
        f"{name}: expected one kernel of this name, got {names.count(name)}: rename one"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]


def probe_archs(text: str, wanted: Sequence[int] | None) -> list[int]:
    """What `// archs: 75 80` in the first ten lines says, else PROBE_ARCHS."""
    m = re.search(r"^//\s*archs:([\d ,]+)", "\n".join(text.splitlines()[:10]), re.M)
    archs = [int(a) for a in re.findall(r"\d+", m[1])] if m else list(PROBE_ARCHS)
    return [a for a in archs if wanted is None or a in wanted]


def check_probe(name: str, arch: int, text: str, ptx: str) -> list[str]:
    """Every `// expect: <regex>` must match the PTX."""
    return [
        f"{name} sm_{arch}: expected PTX like /{regex}/, got none: see the file's expect line"
        for regex in re.findall(r"^//\s*expect:\s*(.+?)\s*$", text, re.M)
        if not re.search(regex, ptx, re.M)
    ]


def compile_all(
    compiler: Compiler, wanted: Sequence[int] | None, jobs: int
) -> tuple[list[Kernel], list[str], list[str]]:
    """Return all functions, what did not compile, and what is wrong with the probes."""
    archs = wanted or [a for a in ARCHS if a in compiler.archs]
    kernels: list[Kernel] = []
    broken: list[str] = []
    wrong: list[str] = []

    def one(task: tuple[Path, int]) -> None:
        source, arch = task
        probe = source.parent.name == "probes"
        start = time.monotonic()
        try:
            report, ptx = compiler.compile(source, arch)
            if probe:
                wrong.extend(check_probe(source.name, arch, source.read_text(), ptx))
            else:
                kernels.extend(kernels_of(source.name, arch, report, ptx))
        except Broken as error:
            (wrong if probe else broken).append(str(error))
        say(f"{source.name} sm_{arch}: {time.monotonic() - start:.1f} s")

    tasks = [(source, a) for source in sorted(HERE.glob("*.cu")) for a in archs]
    for source in sorted(HERE.glob("probes/*.cu")):
        known = [a for a in probe_archs(source.read_text(), wanted) if a in compiler.archs]
        tasks += [(source, a) for a in known]
    say(f"{len(tasks)} compilations, {jobs} at a time")
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, tasks))
    return sorted(kernels, key=lambda k: (k.arch, k.name)), sorted(broken), sorted(wrong)


def budget_part(kernels: Sequence[Kernel], version: str, path: Path, update: bool) -> list[str]:
    """Compare with the budget of this nvcc, or rewrite it."""
    budgets: dict[str, Budget] = json.loads(path.read_text()) if path.exists() else {}
    if update:
        budgets[version] = updated(budgets.get(version, {}), kernels)
        write_atomically(path, dump_budgets(budgets))
        say(f"budget for nvcc {version} written to {path}: review and commit it")
    elif version not in budgets:
        say(
            f"no budget for this nvcc ({version}; {path.name} has {', '.join(budgets) or 'none'}): "
            "registers and shared memory were not compared. Record it with --update and commit it"
        )
    else:
        return check_budget(kernels, budgets[version])
    return []


def say(text: str) -> None:
    print(f"static_checks: {text}", file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python csrc/cuda/static_checks.py                     everything, as CI does\n"
        "  python csrc/cuda/static_checks.py --arch 80 90 --jobs 1 --build-dir build/checks\n"
        "  python csrc/cuda/static_checks.py --update            record what kernels use now\n"
        "  python csrc/cuda/static_checks.py --strict-claims --table occupancy.md\n"
        "exit status: 0 all good, 1 something is wrong, 2 the checks cannot run here",
    )
    add = parser.add_argument
    add("--arch", type=int, nargs="+", metavar="CC", help=f"of {ARCHS}; default: all")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="compilations at a time")
    add("--build-dir", type=Path, help="CMake folder to keep and reuse; default: a temporary one")
    add("--budget", type=Path, default=HERE / "budget.json", help="default: %(default)s")
    add("--update", action="store_true", help="rewrite the budget of this nvcc")
    add("--table", type=Path, help="file for the occupancy table; default: stdout")
    add("--strict-claims", action="store_true", help="a claim without a kernel is an error")
    return parser.parse_args(argv)


def checked(options: argparse.Namespace, compiler: Compiler) -> list[str]:
    """Run every check and return what is wrong."""
    functions, broken, wrong = compile_all(compiler, options.arch, max(1, options.jobs))
    kernels = [k for k in functions if k.entry]
    wrong = broken + wrong + twins(kernels) + check_memory(functions) + check_atomics(functions)
    wrong += check_planned(kernels)
    if not broken:
        wrong += budget_part(kernels, compiler.version, options.budget, options.update)
    else:  # its kernels would count as removed
        say("the budget was left alone: a file did not compile")
    claims, idle = check_claims(kernels)
    wrong += claims + (idle if options.strict_claims else [])
    for note in [] if options.strict_claims else idle:
        say(f"note: {note}")
    table = occupancy_table(kernels)
    if options.table:
        options.table.write_text(table)
    else:
        print(table, flush=True)
    say(f"{len(kernels)} kernels checked, over all architectures")
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            compiler = Compiler(HERE.parents[1], options.build_dir or Path(scratch) / "build", say)
            if unknown := sorted(set(options.arch or ()) - compiler.archs):
                raise NoEnvironment(f"nvcc {compiler.version} does not know sm_{unknown[0]}")
            if skipped := sorted(set(ARCHS) - compiler.archs):
                say(f"note: nvcc {compiler.version} does not know {skipped}: not checked")
            wrong = checked(options, compiler)
    except NoEnvironment as error:
        say(f"cannot run: {error}")
        return 2
    for line in wrong:
        print(f"WRONG {line}", file=sys.stderr)
    say(f"{len(wrong)} violations" if wrong else "all good")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
