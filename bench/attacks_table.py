"""The paper's Table 2 in small: every attack, the audit of its set, and D-BR, a row a case.

A case is one attack at one rate on one set. Its row holds the base model on test images, the audit
against the truth, and D-BR with the shares "auto" pass by pass. The case without poison is the same
network on the unpoisoned set of that seed, measured under every trigger. Some kinds of attack come
at several rates, of which the smallest that reaches the bar is audited and repaired; the others end
with their base model. Everything resumes, every case has a folder and a row of its own, so several
processes may go through parts of a plan (`--only`); run the case without poison first, as it
prepares what other cases would each train for themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from attacks_case import Bench, not_measured
from attacks_layout import chosen, lay_out, reaches
from plan_runs import Sources, add_run_options, check_settings, rows_in
from sd_moments import CLEAN, RECIPES, Case

from fctfast import attacks, io
from fctfast.defend import DBRConfig
from fctfast.memory import keep_freed_memory

EXAMPLES = """examples:
  python bench/attacks_table.py run --plan judged --only none --source cifar10=cifar10.zip \\
      --work attacked --out bench/results/attacks
  python bench/attacks_table.py run --plan judged --source cifar10=cifar10.zip \\
      --work attacked --out bench/results/attacks
  python bench/attacks_table.py run --plan judged --only-base --only cifar10-sig ...  # all rates
  python bench/attacks_table.py table --out bench/results/attacks
"""
RATE = 0.1
OF_BASE = ("base", "limit", "image_size")
"""Sections of the settings behind a base model, all that a row without an audit rests on."""
RATES = {"clean-label": (0.1, 0.2, 0.3, 0.5, 0.8, 1.0), "all2all": (0.1, 0.2, 0.3)}
"""Kinds for which the paper's rate, .1, may be too weak: its classes are 2.5 times as large."""


def every_attack(data: str, seed: int, target: int) -> list[Case]:
    """The case without poison, then each attack at its rates."""
    cases = [Case(data, CLEAN, 0.0, target, seed)]
    for name in attacks.names():
        rates = RATES.get(attacks.get(name).kind, (RATE,))
        cases += [Case(data, name, rate, target, seed) for rate in rates]
    return cases


PLANS = {
    "tuning": every_attack("cifar10", 0, 0),
    "judged": every_attack("cifar10", 10, 3),
    "fresh": every_attack("cifar10", 11, 3),
    "all-to-all": [  # judges the rule for it
        Case("cifar10", "badnets-all2all", rate, 3, seed)
        for seed in (12, 13)
        for rate in (0.2, 0.3)
    ],
    "digits": every_attack("digits", 0, 3),  # to try the script itself: minutes a case
}


class NoSourceError(Exception):
    """A case has to be made, and nobody said where its images lie."""


class Plan:
    """The cases of a plan that are asked for, gone through with the options of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sources = Sources(options.source)

    def run(self, cases: Sequence[Case]) -> None:
        """Go through cases, those of an attack from its smallest rate on."""
        by_attack: dict[str, list[Case]] = {}
        for case in cases:
            by_attack.setdefault(case.attack, []).append(case)
        for ladder in by_attack.values():
            with contextlib.suppress(NoSourceError):  # which was said
                self._attack(sorted(ladder, key=lambda case: case.rate))

    def _attack(self, ladder: Sequence[Case]) -> None:
        if ladder[0].attack == CLEAN:
            self.row(ladder[0], "clean")
            return
        rows = []
        for case in ladder:
            rows.append(self.row(case, "base"))
            if reaches(rows[-1]) and not self.options.only_base:
                break
        if not self.options.only_base:
            self.row(Case(**chosen(rows)["case"]), "repair")

    def row(self, case: Case, part: str) -> dict[str, Any]:
        """Read a case's row, or make it if it does not have this part."""
        result = self.options.out / f"{result_name(case)}.json"
        row: dict[str, Any] = {}
        if result.exists():
            row = io.read_json(result)
            now = asdict(DBRConfig.from_recipe(RECIPES[case.data]))
            check_settings(result, now, None if "repair" in row else OF_BASE)
            if part in row and not (part == "clean" and not_measured(row)):
                self.sources.finished()
                return row
        if (source := self.sources.find(case.name, case.data)) is None:
            raise NoSourceError
        print(f"{case.name}: {part}", file=sys.stderr, flush=True)
        bench = Bench(case, source, self.options.work, self.options.test_images)
        made = (
            bench.without_poison(row)
            if part == "clean"
            else bench.attacked(only_base=part == "base")
        )
        made = json.loads(json.dumps(made))
        io.write_json(result, made)
        return made


def result_name(case: Case) -> str:
    """A row's file; a clean network is measured for a target, which its case's name leaves out."""
    return f"{case.name}-t{case.target}" if case.attack == CLEAN else case.name


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the table; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "table":
        print("\n".join(lay_out(rows_in(options.out))))
        return 0
    if options.threads:
        torch.set_num_threads(options.threads)
    # Networks that attacks prepare lie with the rest of what a killed run goes on from.
    os.environ.setdefault("FCTFAST_CACHE", str(options.work / "prepared"))
    plan = Plan(options)
    plan.run([c for c in PLANS[options.plan] if (options.only or "") in c.name])
    return plan.sources.exit_code()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts_ = parser.add_subparsers(dest="part", required=True)
    run = parts_.add_parser("run", help="train, audit, repair and measure the cases of a plan")
    add_run_options(run, PLANS)
    run.add_argument("--only-base", action="store_true", help="base models alone, at every rate")
    run.add_argument("--test-images", type=int, help="that measure a network (all)")
    table = parts_.add_parser("table", help="print the results as Markdown")
    for part in (run, table):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
