"""D-BR round by round against the truth: which rule should stop it, and the paper's Fig. 5.

For each case: a base model, D_p and D_c of an audit that `sd_audits.py` has made, and then rounds
of both halves (with the recipe's D_p and D_c, with those of the shares "auto", and with "auto" but
half of the set for D_c), of unlearning alone and of relearning alone, measured on test images after
each. The recipe's rule is applied to the finished curves, so other rules can be tried on the same
file without training again. The plans `clean...` train the same network on the unpoisoned set and
measure the trigger's success there. Everything resumes, and a row takes more variants when they are
asked for.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from sd_audits import ATTACKS, add_run_options, attacked
from sd_moments import CLEAN, RECIPES, Case, open_case
from torch import nn

import fctfast
from fctfast import attacks, io
from fctfast.data import ImageSet
from fctfast.defend import DBRConfig, train_base
from fctfast.defend.given import parts
from fctfast.defend.removal import RemovalSettings, kept_share
from fctfast.detect import Detection, weigh
from fctfast.detect.shares import AUTO, Share, resolve_shares
from fctfast.report import evaluate
from fctfast.train import fit, make_progress
from fctfast.train.differences import differing_keys
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/dbr_study.py run --plan tuning --source cifar10=cifar10.zip --audits audits \\
      --work repairs --out bench/results/dbr
  python bench/dbr_study.py table --out bench/results/dbr
"""
PLANS = {
    "tuning": attacked("cifar10", 0.1, 0, range(3)),
    "judged": attacked("cifar10", 0.1, 3, range(10, 13)),
    "clean-tuning": [Case("cifar10", CLEAN, 0.0, 0, seed) for seed in range(3)],
    "clean-judged": [Case("cifar10", CLEAN, 0.0, 3, seed) for seed in range(10, 13)],
}
BOTH = ("unlearn", "relearn")
VARIANTS: dict[str, tuple[str, ...]] = {
    "both": BOTH,
    "auto": BOTH,
    "half": BOTH,
    "unlearn": ("unlearn",),
    "relearn": ("relearn",),
}
"""Halves of a round."""
OF_ITS_OWN: dict[str, tuple[Share, Share]] = {"auto": (AUTO, AUTO), "half": (0.5, AUTO)}
"""alpha_c and alpha_p of variants that do not take the recipe's."""


def base_model(
    case: Case, data: ImageSet, config: DBRConfig, folder: Path
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """Train a case's base model as D-BR would, or go on with it."""
    assert config.detect.mean is not None
    assert config.detect.std is not None
    mean, std = config.detect.mean, config.detect.std
    model, _ = train_base(
        data, config.base, mean=mean, std=std, seed=case.seed,
        checkpoint=folder / "base-state.safetensors", progress=make_progress(quiet=False),
    )  # fmt: skip
    return model, mean, std


def curve(
    model: nn.Module,
    variant: str,
    poisoned: ImageSet,
    clean: ImageSet,
    settings: RemovalSettings,
    test: ImageSet,
    attack: attacks.Attack,
    *,
    target: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    rounds: int | None = None,
    checkpoint: Path,
) -> list[dict[str, Any]]:
    """Rounds of one variant, each with what the rule sees and what the truth says.

    They end with the settings' rule, if there is one, and at the latest after `rounds`, which by
    default are the settings' budget. The first entry is the model as it came.
    """
    halves = VARIANTS[variant]
    stages = [s for s in settings.stages(poisoned, clean) if s.name in halves]
    if rounds is not None:
        a_round = itertools.cycle(stages[: len(halves)])
        stages = list(itertools.islice(a_round, rounds * len(halves)))

    def look(current: nn.Module) -> dict[str, Any]:
        kept = {
            "dp_kept": kept_share(current, poisoned, mean=mean, std=std),
            "dc_kept": kept_share(current, clean, mean=mean, std=std),
        }
        device = next(current.parameters()).device
        return kept | evaluate(current, test, attack, target, mean=mean, std=std, device=device)

    def after(end: Any) -> bool:
        if end.record["stage"] != halves[-1]:
            return False
        end.record.update(look(end.model))
        ends = [r for r in end.history if r["stage"] == halves[-1]]
        return settings.stop is not None and settings.stop.satisfied(ends, start)

    mine = copy.deepcopy(model)
    start = look(mine)
    fitted = fit(
        mine, stages, settings=settings.fit, mean=mean, std=std, seed=seed, checkpoint=checkpoint,
        on_epoch=after, progress=make_progress(quiet=False), label=variant,
    )  # fmt: skip
    ends = [r for r in fitted.history if r["stage"] == halves[-1]]
    return [start, *({key: r[key] for key in start} for r in ends)]


def stopped_at(rounds: Sequence[dict[str, Any]], settings: RemovalSettings) -> int | None:
    """Round after which the rule ends a curve of both halves; None if it does not."""
    if settings.stop is not None:
        for number in range(1, len(rounds)):
            if settings.stop.satisfied(rounds[1 : number + 1], rounds[0]):
                return number
    return None


def shares(found: Detection, given: tuple[Share, Share], num_classes: int) -> tuple[float, float]:
    """Put numbers in the place of "auto", as the audit would have; (alpha_c, alpha_p)."""
    scores = found.scores
    assert scores.suspected is not None
    return resolve_shares(
        *given, fct=scores.fct, labels=scores.labels, suspected=scores.suspected,
        evidence=weigh(scores.fct, scores.labels, num_classes), rate=found.rate,
    )  # fmt: skip


def repair(
    case: Case, source: str, options: argparse.Namespace, row: dict[str, Any]
) -> dict[str, Any]:
    """All curves of one case.

    Args:
        case: which.
        source: path or name of the data.
        options: of the command line.
        row: what an earlier call made, or empty; curves that are long enough are kept.

    Returns:
        The row, ready for JSON.
    """
    data, _ = open_case(case, source)
    recipe = fctfast.train.recipes.load_recipe(RECIPES[case.data])
    config = DBRConfig.from_recipe(recipe)
    folder = options.work / case.name
    folder.mkdir(parents=True, exist_ok=True)
    model, mean, std = base_model(case, data, config, folder)
    test = fctfast.open_dataset(
        source, split="test", limit=options.test_images, seed=case.seed,
        image_size=recipe.data.image_size,
    )  # fmt: skip
    row = {"curves": {}, "parts": {}} | row
    row |= {"case": asdict(case), "test_images": len(test), "versions": versions()}
    row |= {"removal": asdict(config.removal)}
    if case.attack == CLEAN:
        row["clean"] = {
            name: evaluate(model, test, attacks.get(name), case.target, mean=mean, std=std)
            for name in ATTACKS
        }
        return row
    found = Detection.load(options.audits / case.name)
    for variant in _missing(row, options):
        given = OF_ITS_OWN.get(variant, (config.detect.alpha_c, config.detect.alpha_p))
        alpha_c, alpha_p = shares(found, given, data.num_classes)
        poisoned, clean = parts(data, found.scores.split(alpha_c, alpha_p))
        row["parts"][variant] = {"d_p": len(poisoned), "d_c": len(clean)}
        state = folder / f"{variant}-state.safetensors"
        if variant in row["curves"]:
            state.unlink(missing_ok=True)  # of fewer rounds
        row["curves"][variant] = curve(
            model, variant, poisoned, clean, replace(config.removal, stop=None), test,
            attacks.get(case.attack), target=case.target, mean=mean, std=std, seed=case.seed,
            rounds=options.rounds, checkpoint=state,
        )  # fmt: skip
    row["stopped_at"] = {
        name: stopped_at(rounds, config.removal)
        for name, rounds in row["curves"].items()
        if VARIANTS[name] == BOTH
    }
    return row


def _check_settings(result: Path, row: dict[str, Any], case: Case) -> None:
    """Refuse to put curves of other settings into a row."""
    now = asdict(DBRConfig.from_recipe(RECIPES[case.data]).removal)
    differing = differing_keys(row.get("removal", now), json.loads(json.dumps(now)))
    if differing:
        raise SystemExit(f"{result} is of other settings: {'; '.join(differing)}; move it away")


def _missing(row: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Variants that a row has no curve of, or too short a one."""
    return [v for v in options.variants if len(row["curves"].get(v, ())) <= options.rounds]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the table; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "table":
        print("\n".join(_table(options.out)))
        return 0
    sources = dict(pair.split("=", 1) for pair in options.source)
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in PLANS[options.plan]:
        result = options.out / f"{case.name}-t{case.target}.json"
        if options.only and options.only not in case.name:
            continue
        row = io.read_json(result) if result.exists() else {}
        if "clean" in row or ("curves" in row and not _missing(row, options)):
            continue
        _check_settings(result, row, case)
        if case.data not in sources:
            print(f"{case.name}: left out, no --source {case.data}=PATH", file=sys.stderr)
            continue
        print(case.name, file=sys.stderr, flush=True)
        row = repair(case, sources[case.data], options, row)
        io.write_json(result, {**row, "plan": options.plan})
    return 0


def _table(folder: Path) -> Iterator[str]:
    rows = [io.read_json(path) for path in sorted(folder.glob("*.json"))]
    clean = {
        (r["case"]["seed"], r["case"]["target"], name): seen["asr"]
        for r in rows
        if "clean" in r
        for name, seen in r["clean"].items()
    }
    yield (
        "| case | base ACC / ASR | stopped after | ACC / ASR then | after all rounds | "
        "ASR of a clean model |"
    )
    yield "|---" * 6 + "|"
    for row in rows:
        if not row["curves"]:
            continue
        case = Case(**row["case"])
        asr = clean.get((case.seed, case.target, case.attack))
        for name, rounds in row["curves"].items():
            pairs = [f"{100 * r['acc']:.1f} / {100 * r['asr']:.1f}" for r in rounds]
            stop = row["stopped_at"].get(name)
            yield (
                f"| {case.name}, {name} | {pairs[0]} | "
                f"{'never' if stop is None else stop} | {'-' if stop is None else pairs[stop]} | "
                f"{pairs[-1]} | {'-' if asr is None else f'{100 * asr:.1f}'} |"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts_ = parser.add_subparsers(dest="part", required=True)
    run = parts_.add_parser("run", help="train, repair and measure the cases of a plan")
    add_run_options(run, PLANS)
    run.add_argument("--audits", type=Path, required=True, help="--work of sd_audits.py")
    run.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    run.add_argument("--rounds", type=int, default=20, help="of each variant (20)")
    run.add_argument("--test-images", type=int, default=2000, help="measured each round (2,000)")
    table = parts_.add_parser("table", help="print the results as Markdown")
    for part in (run, table):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
