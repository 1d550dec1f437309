"""The paper's Tables 1 and 3 and Fig. 6 in small: D-ST and its baselines, resumably, a row a run.

A run is one poisoned set, one loss of stage 1 and one of stage 2; runs of a set share its audit and
its extractors. The set, its size and the network are those of the CPU recipe. `run` goes through a
plan and leaves out what has a row; `table` lays the rows out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from plan_runs import Sources, add_run_options, check_settings, commit, rows_in
from sd_audits import ATTACKS, attacked
from sd_moments import CLEAN, RECIPES, Case, open_case
from tables_layout import lay_out
from tables_runs import config_of, runs_of
from torch import Tensor

import fctfast
from fctfast import attacks, io
from fctfast.defend import DST, DSTConfig
from fctfast.detect import Detection, detect
from fctfast.detect.shares import AUTO
from fctfast.memory import keep_freed_memory
from fctfast.report import evaluate
from fctfast.train import make_progress
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/tables.py run --plan judged --source cifar10=cifar10.zip --work secure \\
      --out bench/results/dst
  python bench/tables.py run --plan clean --source cifar10=cifar10.zip --work secure \\
      --out bench/results/dst
  python bench/tables.py run --plan lambda --source cifar10=cifar10.zip --work secure \\
      --out bench/results/dst
  python bench/tables.py run --plan longer --crop 0.2 --epochs 30 --source cifar10=cifar10.zip \\
      --work secure --out bench/results/dst     # views as the paper has them, and longer
  python bench/tables.py table --out bench/results/dst
"""
PLANS = {
    "tuning": attacked("cifar10", 0.1, 0, range(2)),
    "judged": attacked("cifar10", 0.1, 3, range(11, 14)),  # 10 was looked at with 12 epochs
    "longer": attacked("cifar10", 0.1, 3, range(10, 13)),  # with --epochs
    "lambda": attacked("cifar10", 0.1, 3, range(10, 11)),
    "clean": [Case("cifar10", CLEAN, 0.0, 3, seed) for seed in range(10, 13)],
}
OF_BASELINES = ("extractor", "classifier", "limit", "image_size")
"""Sections of the settings that a run without an audit rests on."""


class Bench:
    """One set: its audit, if a run needs it, and its extractors, made once and kept in a folder.

    Args:
        case: which set.
        source: path or name of the data.
        work: folder of all sets.
        test_images: how many test images measure a network.
    """

    def __init__(self, case: Case, source: str, work: Path, test_images: int) -> None:
        self.case, self.folder = case, work / case.name
        self.data, self.truth = open_case(case, source)
        self.test = fctfast.open_dataset(
            source, split="test", limit=test_images, seed=case.seed,
            image_size=DSTConfig.from_recipe(RECIPES[case.data]).image_size,
        )  # fmt: skip
        self.how: dict[str, Any] = {"seed": case.seed, "progress": make_progress(quiet=False)}

    def run(self, config: DSTConfig, stage1: str) -> dict[str, Any]:
        """Train one combination and measure it; its extractor lies in the folder `stage1`."""
        found = None
        if config.needs_detection:
            usual = replace(config.detect, alpha_c=AUTO)  # one audit, whatever is taken of it
            found = detect(self.data, settings=usual, out=self.folder / "detect", **self.how)
            found = found.resplit(alpha_c=config.detect.alpha_c)
        folder = self.folder / stage1
        # The extractor goes on where it was; a classifier of another loss would be refused.
        (folder / "classifier-state.safetensors").unlink(missing_ok=True)
        secured = DST(config).run(self.data, detection=found, out=folder, **self.how)
        names = ATTACKS if self.case.attack == CLEAN else (self.case.attack,)
        spent = {
            name: sum(record["seconds"] for record in records)
            for name, records in secured.history.items()
        }
        return {
            "case": asdict(self.case),
            "settings": asdict(config),
            "samples": len(self.data),
            **self.audited(found),
            "seconds": spent,
            "loss": secured.history["extractor"][-1]["loss"],
            "kept": secured.kept,
            "test_images": len(self.test),
            "test": {
                name: evaluate(
                    secured.model, self.test, attacks.get(name), self.case.target,
                    mean=secured.info.mean, std=secured.info.std,
                )
                for name in names
            },
            "load_average": os.getloadavg()[1],
            "threads": torch.get_num_threads(),
            "commit": commit(),
            "versions": versions(),
        }  # fmt: skip

    def audited(self, found: Detection | None) -> dict[str, Any]:
        """What the audit of a run was worth; nothing of a baseline that needs none."""
        if found is None:
            return {"d_c_clean": None, "d_p_poisoned": None, "evidence": None}
        clean, flagged = (
            self.truth[self.data.positions(ids)]
            for ids in (found.split.clean, found.split.poisoned)
        )
        return {
            "d_c_clean": _share(~clean),
            "d_p_poisoned": _share(flagged),
            "evidence": found.verdict.evidence,
        }


def _share(right: Tensor) -> float | None:
    """Of a part that "auto" may have left empty."""
    return float(right.double().mean()) if len(right) else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the tables; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "table":
        print("\n".join(lay_out(rows_in(options.out))))
        return 0
    sources = Sources(options.source)
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in PLANS[options.plan]:
        bench = None
        for run in runs_of(options.plan, options.crop, options.epochs):
            name = f"{case.name}-t{case.target}-{run.name}"
            result = options.out / f"{name}.json"
            if options.only and options.only not in name:
                continue
            config = config_of(case, run)
            if result.exists():
                matter = None if config.needs_detection else OF_BASELINES
                check_settings(result, asdict(config), matter)
                sources.finished()
                continue
            if (source := sources.find(name, case.data)) is None:
                continue
            print(name, file=sys.stderr, flush=True)
            bench = bench or Bench(case, source, options.work, options.test_images)
            io.write_json(result, json.loads(json.dumps(bench.run(config, run.stage1))))
    return sources.exit_code()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    run = parts.add_parser("run", help="train and measure the runs of a plan")
    add_run_options(run, PLANS)
    run.add_argument("--test-images", type=int, help="that measure a network (all)")
    run.add_argument(
        "--crop", type=float, metavar="OF_IMAGE", help="least share of it in stage 1's views"
    )
    run.add_argument("--epochs", type=int, help="of stage 1; default of both: the recipe's")
    table = parts.add_parser("table", help="print the results as Markdown")
    for part in (run, table):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
