"""Benchmarks: ours, every peer and the machine's own limit in one run.

    pytest bench                                # all suites
    pytest bench/test_fct_views.py --record     # and write bench/results/DATE-fct_views.md

pytest-benchmark measures; a row is one benchmark, rows of one `group` are compared. In
`extra_info` a row says its `kind` ("ours", "peer", "limit") and how many `items` a call handles.
The table gives median and quartiles, the ratio to ours, and the share of the machine's limit. A
peer that is not installed is a row that is missing, and the table says so.
"""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast.ops import library_status

# pytest's importlib mode keeps this folder off the path, on which the suites find their peers.
sys.path.insert(0, str(Path(__file__).parent))

RESULTS = Path(__file__).parent / "results"
_LOAD = os.getloadavg()[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the tables to bench/results/")


@pytest.fixture
def measure(benchmark: Any) -> Callable[..., Any]:
    """Measure one row of a table: `measure(function, group=..., kind=..., items=..., unit=...)`."""

    def run(
        function: Callable[[], object],
        *,
        group: str,
        kind: str,
        items: int,
        unit: str,
        rounds: int = 40,
        warmup: int = 2,
        note: str = "",
    ) -> Any:
        benchmark.group = group
        benchmark.extra_info.update(kind=kind, items=items, unit=unit, note=note)
        result = benchmark.pedantic(function, rounds=rounds, warmup_rounds=warmup, iterations=1)
        return benchmark.stats.stats.median if benchmark.stats else result

    return run


def _machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), model
        )
    return (
        f"{datetime.datetime.now(datetime.timezone.utc).date()}, {model}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, kernels {library_status().instruction_set}, "
        f"torch {torch.__version__}, Python {platform.python_version()}, load average before the "
        f"run {_LOAD:.1f}"
    )


def _table(group: str, rows: list[Any]) -> str:
    ours = next((r for r in rows if r.extra_info["kind"] == "ours"), rows[0])
    limit = next((r for r in rows if r.extra_info["kind"] == "limit"), None)
    unit = rows[0].extra_info["unit"]
    lines = [f"## {group}", ""]
    lines.append(f"| row | median ms | quartiles ms | {unit}/s | time / ours | of the limit |")
    lines.append("|---|--:|--:|--:|--:|--:|")
    for r in rows:
        share = f"{limit.stats.median / r.stats.median:.0%}" if limit else ""
        lines.append(
            f"| {r.name.removeprefix('test_')} | {r.stats.median * 1e3:.3f} "
            f"| {r.stats.q1 * 1e3:.3f} .. {r.stats.q3 * 1e3:.3f} "
            f"| {r.extra_info['items'] / r.stats.median:,.0f} "
            f"| {r.stats.median / ours.stats.median:.2f} | {share} |"
        )
    notes = [f"- {r.name.removeprefix('test_')}: {r.extra_info['note']}" for r in rows]
    return "\n".join([*lines, "", *[n for n in notes if not n.endswith(": ")], ""])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    suites: dict[str, dict[str, list[Any]]] = {}
    for b in session.benchmarks:
        if b.has_error or "kind" not in b.extra_info:
            continue
        suite = Path(b.fullname.split("::")[0]).stem.removeprefix("test_")
        suites.setdefault(suite, {}).setdefault(b.group, []).append(b)
    skipped = terminalreporter.stats.get("skipped", [])
    for suite, groups in suites.items():
        body = [f"# {suite}", "", _machine(), ""]
        body += [_table(group, rows) for group, rows in groups.items()]
        body += [
            f"- not measured: {s.nodeid}: {s.longrepr[-1]}" for s in skipped if suite in s.nodeid
        ]
        text = "\n".join(body).rstrip() + "\n"
        terminalreporter.write_line("\n" + text)
        if terminalreporter.config.getoption("--record"):
            RESULTS.mkdir(exist_ok=True)
            date = datetime.datetime.now(datetime.timezone.utc).date()
            (RESULTS / f"{date}-{suite}.md").write_text(text)
