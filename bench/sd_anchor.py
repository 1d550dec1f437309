"""A candidate of the SD study: does cross-entropy beside L_intra keep the probe from collapsing?

From the last moment of cross-entropy that `sd_study.py collect` kept, the probe is spread for one
pass by L_intra alone and by L_intra plus cross-entropy times each weight, with the same batches and
momentum that starts anew. Prints one line each and writes them to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sd_moments import Case, open_case, settings_of
from torch import Tensor

from fctfast import io
from fctfast.detect import FctSettings, fct, weigh
from fctfast.detect.batch_norm import recompute_batch_norm, statistics_batches
from fctfast.detect.probe import AnchoredIntra, describe
from fctfast.detect.scoring import normalisation
from fctfast.memory import keep_freed_memory
from fctfast.report.metrics import auroc
from fctfast.train import Budget, SGDSettings, Stage, fit, make_progress
from fctfast.train.versions import versions

EXAMPLE = """example:
  python bench/sd_anchor.py --case study/cifar10-badnets-all2one-10pc-t0-s0-robust --step 1252 \\
      --source cifar10.zip --out bench/results/sd-anchor
"""
WEIGHTS = (0.0, 0.3)


def main(argv: Sequence[str] | None = None) -> int:
    """Spread with each weight and write the rows; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", type=Path, required=True, help="folder of a case")
    parser.add_argument("--step", type=int, required=True, help="moment to start from")
    parser.add_argument("--source", required=True, help="the data the case was made from")
    parser.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    parser.add_argument("--lr", type=float, default=0.0125, help="at the start (.0125)")
    parser.add_argument("--threads", type=int, help="default: torch's")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    case = Case(**io.read_json(options.case / "case.json")["case"])
    data, poisoned = open_case(case, options.source)
    rows = [spread(case, data, poisoned, weight, options) for weight in WEIGHTS]
    result = {"step": options.step, "lr": options.lr, "rows": rows, "versions": versions()}
    name = f"{case.name}-step{options.step}-lr{options.lr:g}.json"
    io.write_json(options.out / name, json.loads(json.dumps(result)))
    return 0


def spread(
    case: Case, data: Any, poisoned: Tensor, weight: float, options: argparse.Namespace
) -> dict[str, Any]:
    """One pass of L_intra with cross-entropy beside it, and what the scores are worth then."""
    settings = settings_of(case)
    mean, std = normalisation(data, None, settings.mean, settings.std)
    probe = describe(settings.probe.network, data, mean, std).build(seed=0)
    weights, _ = io.read_tensors(options.case / f"weights-{options.step:05d}.safetensors")
    probe.load_state_dict(weights)

    how = replace(settings.probe.fit, sgd=SGDSettings(lr=options.lr))
    fitted = fit(
        probe, Stage("spread", data, AnchoredIntra(weight), Budget(epochs=1)), settings=how,
        mean=mean, std=std, seed=case.seed, progress=make_progress(quiet=False),
        label=f"anchor {weight:g}", device="cpu",
    )  # fmt: skip
    recompute_batch_norm(
        probe, statistics_batches(data, mean=mean, std=std, seed=case.seed, device="cpu")
    )
    kept, _ = io.read_tensors(options.case / "truth.safetensors")
    rows = data.positions(kept["ids"])
    sample, truth = data.select(rows), poisoned[rows]
    row: dict[str, Any] = {"weight": weight, "accuracy": fitted.history[-1]["accuracy"]}
    for name in settings.transforms:
        result = fct(
            probe, sample, mean=mean, std=std, seed=case.seed,
            settings=FctSettings(transform=name, draws=3),
        )  # fmt: skip
        score = result.score("geometric")
        seen = weigh(score, sample.labels, sample.num_classes).class_separation
        row[name] = {
            "class_separation": list(seen),
            "auroc": auroc(score, truth) if bool(truth.any()) else None,
        }
    print(row, file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
