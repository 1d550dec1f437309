"""The paper's Tables 1 and 3 and Fig. 6 in small: D-ST and its baselines, resumably, a row a run.

A run is one poisoned set, one loss of stage 1 and one of stage 2; runs of a set share its audit and
its extractors. The set, its size and the network are those of the CPU recipe. `run` goes through a
plan and leaves out what has a row; `table` lays the rows out.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from sd_audits import add_run_options, attacked
from sd_moments import CLEAN, RECIPES, Case, open_case

import fctfast
from fctfast import attacks, io
from fctfast.defend import DSTConfig, train_classifier, train_extractor
from fctfast.detect import detect
from fctfast.detect.scoring import normalisation
from fctfast.report import evaluate
from fctfast.train import make_progress
from fctfast.train.recipes import load_recipe
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/tables.py run --plan tuning --source cifar10=cifar10.zip --work secure \\
      --out bench/results/dst
  python bench/tables.py run --plan lambda --source cifar10=cifar10.zip --work secure \\
      --out bench/results/dst
  python bench/tables.py table --out bench/results/dst
"""
PLANS = {
    "tuning": attacked("cifar10", 0.1, 0, range(1)),
    "judged": attacked("cifar10", 0.1, 3, range(10, 13)),
    "lambda": attacked("cifar10", 0.1, 3, range(10, 11)),
    "clean": [Case("cifar10", CLEAN, 0.0, 3, seed) for seed in range(10, 13)],
}
EXTRACTORS = ("ss-ctl", "ctl", "s-ctl")
CLASSIFIERS = ("mce", "ce")
LAMBDAS = (0.0, 0.001, 0.01, 0.1, 1.0)
NAMES = {
    ("ss-ctl", "mce"): "D-ST",
    ("ctl", "mce"): "CTL + MCE",
    ("s-ctl", "mce"): "S-CTL + MCE",
    ("ctl", "ce"): "Baseline1 (CTL + CE)",
    ("s-ctl", "ce"): "Baseline2 (S-CTL + CE)",
    ("ss-ctl", "ce"): "SS-CTL + CE",
}


def runs_of(plan: str) -> list[tuple[str, str, float | None]]:
    """(extractor, classifier, lambda_p or the recipe's) of each run of a set."""
    if plan == "lambda":
        return [("ss-ctl", "mce", value) for value in LAMBDAS]
    if plan == "clean":
        return [("ss-ctl", "mce", None), ("s-ctl", "ce", None)]
    return [(e, c, None) for e in EXTRACTORS for c in CLASSIFIERS]


class Bench:
    """One set: its audit and its extractors, made once and kept in a folder.

    Args:
        case: which set.
        source: path or name of the data.
        work: folder of all sets.
        test_images: how many test images measure a network.
        config: settings of D-ST; default: the recipe's.
    """

    def __init__(
        self, case: Case, source: str, work: Path, test_images: int, config: DSTConfig | None = None
    ) -> None:
        recipe = load_recipe(RECIPES[case.data])
        self.case, self.folder = case, work / case.name
        self.config = config or DSTConfig.from_recipe(recipe)
        self.data, self.truth = open_case(case, source)
        self.test = fctfast.open_dataset(
            source, split="test", limit=test_images, seed=case.seed,
            image_size=recipe.data.image_size,
        )  # fmt: skip
        mean, std = normalisation(self.data, None, self.config.detect.mean, self.config.detect.std)
        self.numbers: dict[str, Any] = {"mean": mean, "std": std}
        self.how: dict[str, Any] = {
            **self.numbers, "seed": case.seed, "progress": make_progress(quiet=False)
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self, extractor: str, classifier: str, lambda_p: float | None) -> dict[str, Any]:
        """Train one combination and measure it; times are of what this call did."""
        began = time.monotonic()
        found = detect(
            self.data, settings=self.config.detect, seed=self.case.seed,
            progress=self.how["progress"], out=self.folder / "detect",
        )  # fmt: skip
        clean = torch.isin(self.data.ids, found.split.clean)
        poisoned = torch.isin(self.data.ids, found.split.poisoned)
        audited = time.monotonic()
        network, first = train_extractor(
            self.data, replace(self.config.extractor, learning=extractor), clean,
            checkpoint=self.folder / f"{extractor}-state.safetensors", **self.how,
        )  # fmt: skip
        extracted = time.monotonic()
        settings = replace(self.config.classifier, loss=classifier)
        if lambda_p is not None:
            settings = replace(settings, lambda_p=lambda_p)
        network, known = copy.deepcopy(network), self.data
        if classifier == "mce":
            known, poisoned = self.data.select(clean | poisoned), poisoned[clean | poisoned]
        second = train_classifier(network, known, settings, poisoned, **self.how)
        finished = time.monotonic()
        names = (
            [self.case.attack] if self.case.attack != CLEAN else ["badnets-all2one", "blend-signal"]
        )
        target = self.case.target
        return {
            "case": asdict(self.case),
            "extractor": extractor,
            "classifier": classifier,
            "settings": {
                "extractor": asdict(self.config.extractor) | {"learning": extractor},
                "classifier": asdict(settings),
            },
            "d_c_clean": float((~self.truth[clean]).float().mean()),
            "d_p_poisoned": float(
                self.truth[torch.isin(self.data.ids, found.split.poisoned)].float().mean()
            ),
            "seconds": {
                "audit": audited - began,
                "extractor": sum(r["seconds"] for r in first.history),
                "classifier": finished - extracted,
            },
            "loss": first.history[-1]["loss"],
            "accuracy": second.history[-1]["accuracy"],
            "test": {
                name: evaluate(network, self.test, attacks.get(name), target, **self.numbers)
                for name in names
            },
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the tables; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "table":
        rows = [io.read_json(path) for path in sorted(options.out.glob("*.json"))]
        print("\n".join(lay_out(rows)))
        return 0
    sources = {"digits": "digits", **dict(pair.split("=", 1) for pair in options.source)}
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in PLANS[options.plan]:
        bench = None
        for extractor, classifier, lambda_p in runs_of(options.plan):
            weight = "" if lambda_p is None else f"-lambda{lambda_p:g}"
            name = f"{case.name}-{extractor}-{classifier}{weight}"
            result = options.out / f"{name}.json"
            if result.exists() or (options.only and options.only not in name):
                continue
            print(name, file=sys.stderr, flush=True)
            if bench is None:
                bench = Bench(case, sources[case.data], options.work, options.test_images)
            row = bench.run(extractor, classifier, lambda_p)
            io.write_json(result, json.loads(json.dumps(row)))
    return 0


def lay_out(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Mean and range over seeds, a line for each attack, loss of stage 1 and of stage 2."""
    yield "| attack | run | seeds | ACC | ASR | extractor, classifier, audit: seconds |"
    yield "|---|---|--:|--:|--:|---|"
    groups: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        name = NAMES[row["extractor"], row["classifier"]]
        weight = row["settings"]["classifier"]["lambda_p"]
        if row["classifier"] == "mce" and weight != DSTConfig().classifier.lambda_p:
            name += f", lambda_p {weight:g}"
        for attack in row["test"]:
            poisoned = row["case"]["attack"]
            label = attack if poisoned == attack else f"{attack} (set without poison)"
            # By seed: the sweep of lambda_p holds the table's own run, too.
            seen = {**row, "seen": row["test"][attack]}
            groups.setdefault((label, name), {})[row["case"]["seed"]] = seen
    for (attack, name), by_seed in sorted(groups.items()):
        found = list(by_seed.values())
        cells = [_range([r["seen"][key] for r in found]) for key in ("acc", "asr")]
        spent = [
            f"{statistics.mean(r['seconds'][part] for r in found):.0f}"
            for part in ("extractor", "classifier", "audit")
        ]
        yield f"| {attack} | {name} | {len(found)} | {cells[0]} | {cells[1]} | {', '.join(spent)} |"


def _range(values: Sequence[float]) -> str:
    mean = f"{100 * statistics.mean(values):.1f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    run = parts.add_parser("run", help="train and measure the runs of a plan")
    add_run_options(run, PLANS)
    run.add_argument("--test-images", type=int, default=2000, help="that measure a network (2,000)")
    table = parts.add_parser("table", help="print the results as Markdown")
    for part in (run, table):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
