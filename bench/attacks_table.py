"""The paper's Table 2 in small: every attack, the audit of its set, and D-BR, a row a case.

A case is one attack at one rate on one set. Its row holds the base model on test images, the audit
against the truth, and D-BR with the shares "auto" round by round until its rule stops it. The case
without poison is the same network on the unpoisoned set of that seed, measured under every trigger.
Clean-label attacks come at several rates, of which the smallest that reaches the bar is audited and
repaired; the others end with their base model. Everything resumes, every case has a folder and a
row of its own, so several processes may go through parts of a plan (`--only`); run the case
without poison first, as it prepares what other cases would each train for themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from attacks_layout import chosen, lay_out, reaches
from dbr_study import curve, shares
from sd_audits import add_run_options, check_settings, commit, purity
from sd_moments import CLEAN, RECIPES, Case, open_clean
from torch import nn

import fctfast
from fctfast import attacks, io
from fctfast.attacks.poisoning import RATE_OF
from fctfast.data import ImageSet
from fctfast.defend import DBRConfig, train_base
from fctfast.defend.given import parts
from fctfast.detect import Detection, detect
from fctfast.detect.scoring import normalisation
from fctfast.detect.shares import AUTO, Share
from fctfast.report import evaluate
from fctfast.report.metrics import auroc
from fctfast.train import make_progress
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/attacks_table.py run --plan judged --only none --source cifar10=cifar10.zip \\
      --work attacked --out bench/results/attacks
  python bench/attacks_table.py run --plan judged --source cifar10=cifar10.zip \\
      --work attacked --out bench/results/attacks
  python bench/attacks_table.py run --plan judged --only-base --only cifar10-sig ...  # all rates
  python bench/attacks_table.py table --out bench/results/attacks
"""
RATE = 0.1
CLEAN_LABEL_RATES = (0.1, 0.3, 0.5, 0.8, 1.0)
"""Of the target class; the paper's is .1, of classes two and a half times as large."""


def every_attack(data: str, seed: int, target: int) -> list[Case]:
    """The case without poison, then each attack at its rates."""
    cases = [Case(data, CLEAN, 0.0, target, seed)]
    for name in attacks.names():
        rates = CLEAN_LABEL_RATES if attacks.get(name).kind == "clean-label" else (RATE,)
        cases += [Case(data, name, rate, target, seed) for rate in rates]
    return cases


PLANS = {
    "tuning": every_attack("cifar10", 0, 0),
    "judged": every_attack("cifar10", 10, 3),
    "digits": every_attack("digits", 0, 3),  # to try the script itself: minutes a case
}


class Bench:
    """One case: its sets, its base model, and the folder it resumes in.

    Args:
        case: which.
        source: path or name of the data.
        work: folder of all cases.
        test_images: how many test images measure a network; None is all.
    """

    def __init__(self, case: Case, source: str, work: Path, test_images: int | None) -> None:
        self.case, self.folder = case, work / case.name
        self.resumed = self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = DBRConfig.from_recipe(RECIPES[case.data])
        self.progress = make_progress(quiet=False)
        self.seconds: dict[str, float] = {}
        self.clean = open_clean(case, source)
        self.test = fctfast.open_dataset(
            source, split="test", limit=test_images, seed=case.seed,
            image_size=self.config.image_size,
        )  # fmt: skip

    def prepared(self, name: str) -> attacks.Attack:
        """An attack that can put its trigger on training and test images."""
        return attacks.get(name).prepared(
            self.clean, target=self.case.target, seed=self.case.seed, progress=self.progress
        )

    def base_model(self, data: ImageSet) -> nn.Module:
        """Train on a set as D-BR would, or go on with it."""
        detection = self.config.detect
        self.mean, self.std = normalisation(data, None, detection.mean, detection.std)
        model, fitted = train_base(
            data, self.config.base, mean=self.mean, std=self.std, seed=self.case.seed,
            checkpoint=self.folder / "base-state.safetensors", progress=self.progress,
        )  # fmt: skip
        self.seconds["base"] = sum(record["seconds"] for record in fitted.history)
        return model

    def measure(self, model: nn.Module, attack: attacks.Attack) -> dict[str, Any]:
        """ACC and ASR on the test images."""
        device = next(model.parameters()).device
        return evaluate(
            model, self.test, attack, self.case.target, mean=self.mean, std=self.std, device=device
        )

    def described(self) -> dict[str, Any]:
        """What every row says of itself."""
        return {
            "case": asdict(self.case),
            "settings": asdict(self.config),
            "samples": len(self.clean),
            "test_images": len(self.test),
            "seconds": self.seconds,
            "resumed": self.resumed,
            "commit": commit(),
            "load_average": os.getloadavg()[1],
            "versions": versions(),
        }

    def without_poison(self, row: dict[str, Any]) -> dict[str, Any]:
        """Measure the clean network under each trigger that the row does not have."""
        missing = _not_measured(row)
        ready = {name: self.prepared(name) for name in missing}
        model = self.base_model(self.clean)
        seen = {name: self.measure(model, attack) for name, attack in ready.items()}
        return {**self.described(), "clean": {**row.get("clean", {}), **seen}}

    def attacked(self, *, only_base: bool) -> dict[str, Any]:
        """Poison, train the base model, and unless that is all: audit and repair."""
        case, begun = self.case, time.monotonic()
        attack = self.prepared(case.attack)
        made = attacks.poison(
            self.clean, attack, rate=case.rate, target=case.target, seed=case.seed,
            progress=self.progress,
        )  # fmt: skip
        self.seconds["poison"] = time.monotonic() - begun
        model = self.base_model(made.image_set)
        row: dict[str, Any] = {
            "kind": attack.kind,
            "rate_of": RATE_OF[attack.kind],
            "poisoned": int(made.poisoned_mask.sum()),
            "base": self.measure(model, attack),
        }
        if not only_base:
            data, begun = made.image_set, time.monotonic()
            found = detect(
                data, mode=case.mode, settings=self.config.detect, seed=case.seed,
                out=self.folder / "audit", progress=self.progress,
            )  # fmt: skip
            self.seconds["audit"] = time.monotonic() - begun
            row["audit"] = self.audited(found, data, made.poisoned_mask)
            begun = time.monotonic()
            row["repair"] = self.repaired(found, data, model, attack)
            self.seconds["repair"] = time.monotonic() - begun  # the measuring is in it
        return {**self.described(), **row}

    def audited(self, found: Detection, data: ImageSet, poisoned: torch.Tensor) -> dict[str, Any]:
        """The audit against the truth."""
        scores, detection = found.scores, self.config.detect
        truth = dict(zip(data.ids.tolist(), poisoned.tolist(), strict=True))
        given: dict[str, tuple[Share, Share]] = {
            "recipe": (detection.alpha_c, detection.alpha_p), "auto": (AUTO, AUTO)
        }  # fmt: skip
        return {
            "verdict": found.verdict.summary(),
            "rate": None if found.rate is None else found.rate.summary(),
            "auroc": auroc(scores.suspicion, poisoned[data.positions(scores.ids)]),
            "step": found.settings["step"],
            "transform": found.settings["score"]["transform"],
        } | {
            name: purity(scores, truth, *shares(found, pair, data.num_classes))
            for name, pair in given.items()
        }

    def repaired(
        self, found: Detection, data: ImageSet, model: nn.Module, attack: attacks.Attack
    ) -> dict[str, Any]:
        """D-BR with the shares "auto"; where one of them is 0, with the recipe's."""
        auto = shares(found, (AUTO, AUTO), data.num_classes)
        recipe = (self.config.detect.alpha_c, self.config.detect.alpha_p)
        given = tuple(AUTO if a else r for a, r in zip(auto, recipe, strict=True))
        alpha_c, alpha_p = shares(found, given, data.num_classes)
        poisoned, clean = parts(data, found.scores.split(alpha_c, alpha_p))
        removal = self.config.removal
        rounds = curve(
            model, "auto", poisoned, clean, removal, self.test, attack, target=self.case.target,
            mean=self.mean, std=self.std, seed=self.case.seed,
            checkpoint=self.folder / "repair-state.safetensors",
        )  # fmt: skip
        ended = removal.stop is not None and removal.stop.satisfied(rounds[1:], rounds[0])
        return {
            "given": given,
            "alpha_c": alpha_c,
            "alpha_p": alpha_p,
            "d_p": len(poisoned),
            "d_c": len(clean),
            "stopped": ended,
            "curve": rounds,
        }


def _not_measured(row: dict[str, Any]) -> list[str]:
    """Triggers that the row of a clean network does not have, such as those of new attacks."""
    return [name for name in attacks.names() if name not in row.get("clean", {})]


class Plan:
    """The cases of a plan that are asked for, gone through with the options of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sources = {"digits": "digits", **dict(p.split("=", 1) for p in options.source)}

    def run(self, cases: Sequence[Case]) -> None:
        """Go through cases, those of an attack from its smallest rate on."""
        by_attack: dict[str, list[Case]] = {}
        for case in cases:
            if case.data not in self.sources:
                print(f"{case.name}: left out, no --source {case.data}=PATH", file=sys.stderr)
                continue
            by_attack.setdefault(case.attack, []).append(case)
        for attack, ladder in by_attack.items():
            if attack == CLEAN:
                for case in ladder:
                    self.row(case, "clean")
                continue
            rows = []
            for case in sorted(ladder, key=lambda case: case.rate):
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
            check_settings(result, asdict(DBRConfig.from_recipe(RECIPES[case.data])))
            row = io.read_json(result)
            if part in row and not (part == "clean" and _not_measured(row)):
                return row
        print(f"{case.name}: {part}", file=sys.stderr, flush=True)
        bench = Bench(case, self.sources[case.data], self.options.work, self.options.test_images)
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
        rows = [io.read_json(path) for path in sorted(options.out.glob("*.json"))]
        print("\n".join(lay_out(rows)))
        return 0
    if options.threads:
        torch.set_num_threads(options.threads)
    # Networks that attacks prepare lie with the rest of what a killed run goes on from.
    os.environ.setdefault("FCTFAST_CACHE", str(options.work / "prepared"))
    Plan(options).run([c for c in PLANS[options.plan] if (options.only or "") in c.name])
    return 0


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
    sys.exit(main())
