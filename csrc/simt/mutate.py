"""Breaks the GPU kernels one small change at a time and shows that the tests notice each.

`python csrc/simt/mutate.py [--only REGEX] [--list] [--out FILE] [--jobs N] [--keep]`

Each mutation of `mutations/` is applied to a copy of `csrc/`, the executor is built there, and the
`simt` tests of its op run against that build; the first failure ends them. A crash or a hang
counts as noticed. A mutation with a mode must be reported by that sanitizer.

Exit status: 0, all were noticed; 1, the named ones survived; 2, nothing could be concluded: the
unchanged source fails its tests, or a mutation no longer fits the kernel or does not compile.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import harness
from mutations import KERNELS, MUTATIONS, Mutation

CHECKOUT = Path(__file__).resolve().parents[2]
# "SUMMARY: ThreadSanitizer: data race /path/fct_views.h:161 in ..." and UBSan's own words; pytest
# may show either in a string's repr.
_SANITIZER = re.compile(
    r"SUMMARY: \w+Sanitizer: .*?:\d+|[\w.]+:\d+:\d+: runtime error: .*?(?=\n|\\n)"
)
_FAILED = re.compile(r"^FAILED \S*?::(.*)$", re.MULTILINE)


class Unusable(RuntimeError):
    """Nothing can be concluded; the text says why."""


@dataclass(frozen=True)
class Ran:
    """How a run of the tests ended: pytest's exit status, None after the time limit."""

    status: int | None
    output: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """A mutation and what noticed it; None: it survived."""

    mutation: Mutation
    noticed_by: str | None
    seconds: float


def mutated(text: str, mutation: Mutation) -> str:
    """Apply a mutation to the text of its file.

    Raises:
        Unusable: what it replaces does not stand there exactly once.
    """
    found = text.count(mutation.old)
    if found != 1:
        raise Unusable(
            f"{mutation.name}: the kernel has changed: update this mutation (expected its text "
            f"once in {mutation.file}, found it {found} times)"
        )
    return text.replace(mutation.old, mutation.new)


def noticed_by(mode: str, ran: Ran) -> str | None:
    """What noticed a mutation, in a line; None: nothing did.

    Raises:
        Unusable: the tests did not run.
    """
    if ran.status is None:
        return f"hang (ended after {ran.seconds:.0f} s)"
    if ran.status < 0:
        return f"crash ({signal.Signals(-ran.status).name})"
    if ran.status not in (0, 1):
        raise Unusable(f"pytest ended with status {ran.status}:\n{ran.output[-2000:]}")
    if ran.status == 0:
        return None
    failed = _FAILED.search(ran.output)
    if failed is None:  # an error of a fixture: no kernel ran
        raise Unusable(f"no test failed, yet pytest did:\n{ran.output[-2000:]}")
    test = failed[1]
    if mode == "plain":
        return test[:160]
    report = _SANITIZER.search(ran.output)  # another reason to fail is not what the mode promises
    if report is None:
        return None
    words = re.sub(r"SUMMARY: |/\S*/|\\", "", report[0])
    return f"{words} ({test.split(' - ')[0]})"[:200]


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    rows = ["| mutation | kernel | kind | what was changed | noticed by |", "|---|---|---|---|---|"]
    for o in outcomes:
        m, by = o.mutation, f"`{o.noticed_by}`" if o.noticed_by else "**nothing**"
        changed = f"{m.breaks} (`{m.file}`)"
        rows.append("| " + " | ".join(map(cell, (m.name, m.kernel, m.kind, changed, by))) + " |")
    return "\n".join(rows) + "\n"


def stages(kernel: str, mode: str) -> list[list[str]]:
    """Pytest's arguments, run after run: what likely notices first, then all that must notice.

    Those are the op's own tests and the tests of the kernels on the executor.
    """
    op, first = KERNELS.get(kernel, (kernel, ""))
    tests = CHECKOUT / "python_tests"
    own = [str(path) for path in sorted((tests / "ops").glob(f"test_{op}*.py"))]
    shared = [str(tests / "simt" / f"test_{name}.py") for name in ("kernels", "units")]
    common = ["-m", "simt", "-x", "--tb=short", "-p", "no:cacheprovider", "-k"]
    if mode != "plain":  # -vv: the whole of a sanitizer's report, whose first lines matter
        return [["-vv", *common, f"{op}-{mode}", *shared]]
    # -k matches a file's name, too: none of the op's own tests is left out.
    whole = [*common, f"({op} or divider) and not address and not {op}-thread", *own, *shared]
    return [[*common, first, *own], whole] if first else [whole]


class Scratch:
    """A copy of `csrc/` with its builds: edited in place, so that little is compiled again."""

    def __init__(self, folder: Path) -> None:
        """Copy the kernels and the executor to `folder`."""
        for name in ("kernels", "simt"):
            shutil.copytree(
                CHECKOUT / "csrc" / name, folder / "csrc" / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )  # fmt: skip
        self.source, self.builds = folder / "csrc" / "simt", folder / "build" / "simt"

    def build(self, mode: str) -> Path:
        """Compile what lies here; returns the plain module.

        Raises:
            Unusable: it does not compile.
        """
        try:
            plain = harness.build("plain", self.builds, self.source)
            if mode != "plain":
                harness.build(mode, self.builds, self.source)
        except RuntimeError as error:
            raise Unusable(f"does not build: {str(error)[-2000:]}") from None
        return plain

    def test(self, arguments: Sequence[str], plain: Path, limit: float | None) -> Ran:
        """Run pytest on what was built."""
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "FCTFAST_SIMT_MODULE": str(plain),
            "FCTFAST_SIMT_SOURCE": str(self.source),
        }  # fmt: skip
        started = time.monotonic()
        tests = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=CHECKOUT, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        status: int | None
        try:
            output, _ = tests.communicate(timeout=limit)
            status = tests.returncode
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)  # with the sanitizer's process it may have started
            output, _ = tests.communicate()
            status = None
        return Ran(status, output, time.monotonic() - started)

    def outcome(self, mutation: Mutation, limit: float) -> Outcome:
        """Apply one mutation, run its tests, and put the file back."""
        file = self.source.parent / "kernels" / mutation.file
        original, started = file.read_text(), time.monotonic()
        file.write_text(mutated(original, mutation))
        by: str | None = None
        try:
            plain = self.build(mutation.mode)
            for arguments in stages(mutation.kernel, mutation.mode):
                by = noticed_by(mutation.mode, self.test(arguments, plain, limit))
                if by is not None:
                    break
        except Unusable as error:
            raise Unusable(f"{mutation.name}: {error}") from None
        finally:
            file.write_text(original)
        return Outcome(mutation, by, time.monotonic() - started)


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def baseline(scratch: Scratch, chosen: Sequence[Mutation]) -> dict[tuple[str, str], float]:
    """Run the unchanged source; returns how long a mutant's tests may take.

    Raises:
        Unusable: a test fails.
    """
    limits: dict[tuple[str, str], float] = {}
    for op, mode in sorted({(KERNELS[m.kernel][0], m.mode) for m in chosen}):
        ran = scratch.test(stages(op, mode)[-1], scratch.build(mode), None)
        say(f"unchanged {op}, {mode}: status {ran.status}, {ran.seconds:.0f} s")
        if ran.status != 0:
            raise Unusable(f"the unchanged source fails its tests:\n{ran.output[-4000:]}")
        limits[op, mode] = max(60.0, 4 * ran.seconds)
    return limits


def run_all(chosen: Sequence[Mutation], folder: Path, jobs: int) -> list[Outcome]:
    """Try every chosen mutation, `jobs` at a time, each in a scratch folder of its own."""
    free: queue.Queue[Scratch] = queue.Queue()
    for number in range(jobs):
        free.put(Scratch(folder / str(number)))
    first = free.get()
    for mutation in chosen:  # before an hour has passed
        mutated((first.source.parent / "kernels" / mutation.file).read_text(), mutation)
    limits = baseline(first, chosen)
    free.put(first)

    def attempt(mutation: Mutation) -> Outcome:
        scratch = free.get()
        try:
            made = scratch.outcome(mutation, limits[KERNELS[mutation.kernel][0], mutation.mode])
        finally:
            free.put(scratch)
        say(f"{mutation.name}: {made.noticed_by or 'SURVIVED'} ({made.seconds:.0f} s)")
        return made

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(attempt, chosen))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--only", default="", metavar="REGEX", help="mutations by name or kernel")
    parser.add_argument("--list", action="store_true", help="print the mutations and stop")
    parser.add_argument("--out", type=Path, help="write the table here instead of to stdout")
    parser.add_argument("--jobs", type=int, default=1, help="mutations at a time (default 1)")
    parser.add_argument("--keep", action="store_true", help="leave the scratch folders")
    options = parser.parse_args(arguments)
    wanted = re.compile(options.only)
    chosen = [m for m in MUTATIONS if wanted.search(m.name) or wanted.search(m.kernel)]
    if options.list:
        print("\n".join(f"{m.name}: {m.kernel}, {m.kind}, {m.mode}: {m.breaks}" for m in chosen))
        return 0
    folder, started = Path(tempfile.mkdtemp(prefix="fctfast-mutate-")), time.monotonic()
    try:
        outcomes = run_all(chosen, folder, options.jobs)
    except (Unusable, harness.Unavailable) as error:
        say(f"mutate: {error}")
        return 2
    finally:
        if options.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if options.out is None:
        print(table(outcomes), end="")
    else:
        options.out.write_text(table(outcomes))
    survivors = [o.mutation.name for o in outcomes if o.noticed_by is None]
    say(
        f"{len(outcomes) - len(survivors)} of {len(outcomes)} noticed in "
        f"{(time.monotonic() - started) / 60:.0f} min; survivors: {', '.join(survivors) or 'none'}"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
