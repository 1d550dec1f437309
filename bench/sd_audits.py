"""Whole audits against the truth: the runs that judge `detect`, one JSON file each.

`run` goes through a plan and leaves out what has a result; a killed audit goes on where it was.
`table` lays results out; the plan `rates` is the paper's Appendix G in small, and `alphas` prints
its Appendix F: the purity of D_p and D_c at other shares of the same scores. The tuning study that
chose the settings is `sd_study.py`; nothing here was looked at for that choice, except the plans
`tuning...`, which repeat its seeds. Plans `one-pass-...` are the same cases as robust mode was at
first, without cross-entropy beside L_intra and with one pass of it in the place of three.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from plan_runs import Sources, add_run_options, check_settings, commit, rows_in
from sd_moments import CLEAN, EARLIER, WHOLE, Case, open_case, settings_of
from sd_tables import ALPHAS_C, ALPHAS_P, lay_out, lay_out_alphas
from torch import Tensor

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, detect
from fctfast.detect.moments import Moments
from fctfast.detect.scoring import normalisation
from fctfast.detect.shares import AUTO
from fctfast.detect.snapshots import read_snapshot, sample_of
from fctfast.detect.split import ALPHA_C, ALPHA_P
from fctfast.memory import keep_freed_memory
from fctfast.report.metrics import auroc
from fctfast.train import make_progress, resolve_device
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/sd_audits.py run --plan judged --source cifar10=cifar10.zip --work audits \\
      --out bench/results/sd-audits
  python bench/sd_audits.py table --out bench/results/sd-audits > bench/results/DATE-sd-audits.md
  python bench/sd_audits.py alphas --out bench/results/sd-audits
"""
ATTACKS = ("badnets-all2one", "blend-signal")
STATE = "probe-state.safetensors"
RATES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2)


def attacked(data: str, rate: float, target: int, seeds: Sequence[int], **how: Any) -> list[Case]:
    """Cases of both attacks for each seed."""
    return [Case(data, a, rate, target, seed, **how) for seed in seeds for a in ATTACKS]


def _clean() -> list[Case]:
    """Twenty sets without poison."""
    cases = [Case("cifar10", CLEAN, 0.0, 0, seed) for seed in range(10, 14)]
    cases += [Case("cifar10", CLEAN, 0.0, 0, seed, limit=10_000) for seed in range(20, 24)]
    cases += [Case("digits", CLEAN, 0.0, 0, seed) for seed in range(10, 16)]
    cases += [Case("fashion-mnist", CLEAN, 0.0, 0, seed) for seed in range(10, 13)]
    return cases + [Case("fashion-mnist", CLEAN, 0.0, 0, s, limit=10_000) for s in range(20, 23)]


JUDGED = range(10, 13)
PLANS: dict[str, list[Case]] = {
    "tuning": attacked("cifar10", 0.1, 0, range(3)) + attacked("digits", 0.1, 0, range(3)),
    "tuning-low": attacked("cifar10", 0.03, 0, range(3)),
    "tuning-clean": [
        Case("cifar10", CLEAN, 0.0, 0, seed, limit=limit)
        for seed, limit in ((0, None), (1, 10_000), (2, 10_000))
    ],
    "tuning-all2all": [Case("cifar10", "badnets-all2all", 0.2, 0, 0)],
    "judged": attacked("cifar10", 0.1, 3, JUDGED),
    "fashion": attacked("fashion-mnist", 0.1, 3, JUDGED),
    "low": attacked("cifar10", 0.03, 3, JUDGED),
    "fresh": attacked("cifar10", 0.1, 3, [13]),
    "fashion-fresh": attacked("fashion-mnist", 0.1, 3, range(13, 16)),
    "five": attacked("cifar10", 0.05, 3, JUDGED),
    "fashion-five": attacked("fashion-mnist", 0.05, 3, range(13, 16)),
    "digits": attacked("digits", 0.1, 3, JUDGED),
    "clean": _clean(),
    "published": attacked("cifar10", 0.1, 3, JUDGED, mode="published"),
    "published-fashion": attacked("fashion-mnist", 0.1, 3, JUDGED, mode="published"),
    "published-five": attacked("cifar10", 0.05, 3, JUDGED, mode="published"),
    "rates": [Case("cifar10", ATTACKS[0], rate, 3, 10) for rate in RATES],
    # All of CIFAR-10 and the recipe for a GPU.
    "whole": [
        *attacked("cifar10", 0.1, 3, [15], mode=WHOLE, limit=50_000),
        Case("cifar10", CLEAN, 0.0, 0, 15, mode=WHOLE, limit=50_000),
    ],
    # What the plans "alphas" and "rates" of dbr_study.py repair.
    "sweeps": [case for rate in (0.1, 0.05, 0.2) for case in attacked("cifar10", rate, 3, [14])],
}
PLANS |= {
    f"{EARLIER}-{name}": [replace(case, mode=EARLIER) for case in cases if case.data != "digits"]
    for name, cases in PLANS.items()
    if name not in ("digits", "whole", "sweeps") and not name.startswith("published")
}


def audit(case: Case, source: str, folder: Path) -> dict[str, Any]:
    """Audit a case's set, with the paper's shares and with "auto", and hold it against the truth.

    Args:
        case: which.
        source: path or name of the data.
        folder: of the audit; a killed one goes on from it.

    Returns:
        Verdict, rate, purities and time, ready for JSON.
    """
    data, poisoned = open_case(case, source)
    settings = settings_of(case)
    progress = make_progress(quiet=False)
    wall, cpu = time.monotonic(), time.process_time()
    epochs = None
    if case.mode == "published":
        epochs = _epochs(data, poisoned, settings, case.seed, folder)
    found = detect(
        data, mode="published" if case.mode == "published" else "robust", settings=settings,
        seed=case.seed, out=folder, progress=progress,
    )  # fmt: skip
    seconds = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    load = os.getloadavg()[1]
    row = {
        "case": asdict(case),
        "samples": len(data),
        "poisoned": int(poisoned.sum()),
        "settings": asdict(settings),
        "commit": commit(),
        "seconds": seconds["wall"],
        "cpu_seconds": seconds["cpu"],
        "load_average": load,
        "threads": torch.get_num_threads(),
        "chosen": {
            "step": found.settings["step"], "transform": found.settings["score"]["transform"]
        },
        "verdict": found.verdict.summary(),
        "rate": None if found.rate is None else found.rate.summary(),
        "versions": versions(),
    }  # fmt: skip
    truth = dict(zip(data.ids.tolist(), poisoned.tolist(), strict=True))
    if case.mode != "published":
        row["auto"] = purity(found.resplit(AUTO, AUTO), truth)
        row["moments"] = list(_moments(found, data, poisoned, folder))
    else:
        row["epochs"] = epochs
    if bool(poisoned.any()):
        row["auroc"] = auroc(found.scores.suspicion, poisoned)
        row["auroc_fct"] = auroc(found.scores.fct, poisoned)
    row["split"] = purity(found, truth)
    row["alphas_p"] = {
        str(a): purity(found.resplit(0.1, a), truth)["d_p_poisoned"] for a in ALPHAS_P
    }
    row["alphas_c"] = {str(a): purity(found.resplit(a, 0.05), truth)["d_c_clean"] for a in ALPHAS_C}
    return row


def purity(found: Detection, truth: dict[int, bool]) -> dict[str, Any]:
    """Shares of a split against the truth; None of an empty part."""
    split = found.split

    def share(ids: Tensor) -> float | None:
        return sum(truth[i] for i in ids.tolist()) / len(ids) if len(ids) else None

    flagged, kept = share(split.poisoned), share(split.clean)
    return {
        "alpha_c": split.alpha_c,
        "alpha_p": split.alpha_p,
        "d_p_poisoned": flagged,
        "d_c_clean": None if kept is None else 1 - kept,
    }


def _moments(
    found: Detection, data: ImageSet, poisoned: Tensor, folder: Path
) -> Iterator[dict[str, Any]]:
    """What each moment's scores of its sample are worth, under each tau."""
    sample = sample_of(data, found.settings["per_class"], found.settings["seed"])
    truth = poisoned[data.positions(sample.ids)]
    files = sorted(folder.glob("snapshot-*.safetensors"))
    steps = sorted({taken["step"] for taken in found.snapshots})
    for step, path in zip(steps, files, strict=True):
        results, _ = read_snapshot(path, len(sample), {"step": step})
        for taken in found.snapshots:
            if taken["step"] == step:
                scores = results[taken["transform"]].score("geometric")
                facts = {key: taken[key] for key in ("step", "transform", "separation")}
                yield {**facts, "auroc": auroc(scores, truth) if bool(truth.any()) else None}


def _epochs(
    data: ImageSet, poisoned: Tensor, settings: DetectSettings, seed: int, folder: Path
) -> list[dict[str, Any]]:
    """What published scores are worth after each epoch; leaves the probe for the audit.

    Its time counts in the row's: a published audit alone is shorter by scoring the samples.
    """
    mean, std = normalisation(data, None, settings.mean, settings.std)
    moments = Moments(
        data, replace(settings, snapshots=len(settings.probe.moments(data))), mean=mean, std=std,
        seed=seed, device=resolve_device("auto"), progress=make_progress(quiet=False),
        folder=folder / "epochs",
    )  # fmt: skip
    _, snapshots = moments.train()
    shutil.copyfile(folder / "epochs" / STATE, folder / STATE)
    truth = poisoned[data.positions(moments.sample.ids)]
    return [{**s.summary(), **_worth(s.result.score("mean"), truth)} for s in snapshots]


def _worth(scores: Tensor, truth: Tensor) -> dict[str, float]:
    """AUROC, and how pure the paper's shares of these scores are."""
    order = scores.argsort()
    flagged = truth[order[-round(ALPHA_P * len(order)) :]].double().mean()
    kept = truth[order[: round(ALPHA_C * len(order))]].double().mean()
    return {
        "auroc": auroc(scores, truth), "d_p_poisoned": float(flagged), "d_c_clean": 1 - float(kept)
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the table; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part != "run":
        rows = rows_in(options.out)
        print("\n".join(lay_out(rows, PLANS) if options.part == "table" else lay_out_alphas(rows)))
        return 0
    sources = Sources(options.source)
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in PLANS[options.plan]:
        result = options.out / f"{case.name}.json"
        if options.only and options.only not in case.name:
            continue
        if result.exists():
            check_settings(result, asdict(settings_of(case)))
            sources.finished()
            continue
        if (source := sources.find(case.name, case.data)) is None:
            continue
        print(case.name, file=sys.stderr, flush=True)
        resumed = (options.work / case.name).exists()
        row = audit(case, source, options.work / case.name)
        io.write_json(result, {**row, "resumed": resumed})
    return sources.exit_code()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    run = parts.add_parser("run", help="audit the cases of a plan")
    add_run_options(run, PLANS)
    table = parts.add_parser("table", help="print the results as Markdown")
    alphas = parts.add_parser("alphas", help="print D_p and D_c at other shares as Markdown")
    for part in (run, table, alphas):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
