"""D-BR pass by pass against the truth: what it comes to, and the paper's Fig. 5.

For each case: a base model, D_p and D_c of an audit that `sd_audits.py` has made, and then D-BR as
the recipe has it (with D_p and D_c of the shares "auto", and of the paper's) and the paper's rounds
(both halves, unlearning alone, relearning alone), measured on test images after each pass. The
plans `clean...` train the same network on the unpoisoned set and measure the trigger's success
there; `alphas` is the paper's Appendix F (Fig. 13) in small, `rates` D-BR's part of its Appendix G
(Table 6), both after `sd_audits.py run --plan sweeps`. Everything resumes, and a row takes more
variants when they are asked for.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from plan_runs import Sources, add_run_options, commit, rows_in
from sd_audits import ATTACKS, attacked
from sd_moments import CLEAN, RECIPES, Case, open_case
from torch import Tensor, nn

import fctfast
from fctfast import attacks, io
from fctfast.data import ImageSet
from fctfast.defend import DBRConfig, RemovalSettings, parts, train_base
from fctfast.defend.given import with_paper_share
from fctfast.defend.removal import kept_shares
from fctfast.detect import Detection
from fctfast.detect.shares import AUTO, PAPER, Share
from fctfast.detect.split import ALPHA_C, ALPHA_P
from fctfast.memory import keep_freed_memory
from fctfast.report import evaluate
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    PassEnd,
    SGDSettings,
    Stage,
    fit,
    make_progress,
)
from fctfast.train.differences import differing_keys
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/sd_audits.py run --plan tuning --source cifar10=cifar10.zip --work audits \\
      --out bench/results/sd-tuning
  python bench/dbr_study.py run --plan tuning --source cifar10=cifar10.zip --audits audits \\
      --work repairs --out bench/results/dbr
  python bench/dbr_study.py table --out bench/results/dbr

audits of the plans alphas and rates: sd_audits.py run --plan sweeps
"""
PLANS = {
    "tuning": attacked("cifar10", 0.1, 0, range(3)),
    "judged": attacked("cifar10", 0.1, 3, range(10, 13)),
    # In the place of seed 10, which chose the weight of D_p.
    "fresh": attacked("cifar10", 0.1, 3, [13]),
    "clean-tuning": [Case("cifar10", CLEAN, 0.0, 0, seed) for seed in range(3)],
    "clean-judged": [Case("cifar10", CLEAN, 0.0, 3, seed) for seed in range(10, 13)],
    # At 10,000 images the base model does not learn BadNets: there is nothing to repair.
    "alphas": attacked("cifar10", 0.1, 3, [14]),
    "rates": [case for rate in (0.05, 0.2) for case in attacked("cifar10", rate, 3, [14])],
}
ROUNDS = RemovalSettings(
    "alternate", Budget(epochs=20), fit=FitSettings(sgd=SGDSettings(lr=1e-3)),
    augment=AugmentSettings(crop=4, flip=True),
)  # fmt: skip
"""The published rounds but for their 1e-4, after all of which ASR was .54 on 20,000 images."""


@dataclass(frozen=True)
class Variant:
    """What a curve is of.

    Args:
        stages: names of the stages that run, of those that the settings have.
        removal: the settings; None is the recipe's.
        shares: alpha_c and alpha_p.
    """

    stages: tuple[str, ...] = ("repair",)
    removal: RemovalSettings | None = None
    shares: tuple[Share, Share] = PAPER


USUAL = {
    "auto": Variant(shares=(AUTO, AUTO)),
    "paper": Variant(),
    "rounds": Variant(("unlearn", "relearn"), ROUNDS),
    "unlearn": Variant(("unlearn",), ROUNDS),
    "relearn": Variant(("relearn",), ROUNDS),
}
ALPHAS = {f"alpha_c={a:g}": Variant(shares=(a, ALPHA_P)) for a in (0.1, 0.2, 0.4, 0.6, 0.8)} | {
    f"alpha_p={a:g}": Variant(shares=(ALPHA_C, a)) for a in (0.01, 0.025, 0.05, 0.1, 0.2)
}
"""The paper's Fig. 13; a share of 0 leaves one half of D-BR, which Fig. 5 shows."""

VARIANTS = USUAL | ALPHAS
PLANNED = {"alphas": tuple(ALPHAS), "rates": ("auto", "paper")}
"""Variants of plans that are not for all of USUAL."""


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
    stages: Sequence[Stage],
    data: ImageSet,
    poisoned: Tensor,
    settings: FitSettings,
    test: ImageSet,
    attack: attacks.Attack,
    *,
    target: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    checkpoint: Path,
) -> list[dict[str, Any]]:
    """Train a copy of a model and measure it after each pass of the last stage.

    The first entry is the model as it came. `data` is D_p and D_c, `poisoned` says who is in D_p.
    """

    def look(current: nn.Module) -> dict[str, Any]:
        kept = kept_shares(current, data, poisoned, mean=mean, std=std)
        return kept | evaluate(current, test, attack, target, mean=mean, std=std)

    def after(end: PassEnd) -> None:
        if end.record["stage"] == stages[-1].name:
            end.record.update(look(end.model))

    mine = copy.deepcopy(model)
    start = look(mine)
    fitted = fit(
        mine, stages, settings=settings, mean=mean, std=std, seed=seed, checkpoint=checkpoint,
        on_epoch=after, progress=make_progress(quiet=False), label=stages[-1].name,
    )  # fmt: skip
    ends = [r for r in fitted.history if r["stage"] == stages[-1].name]
    return [start, *({key: r[key] for key in start} for r in ends)]


def repair(
    case: Case, source: str, options: argparse.Namespace, row: dict[str, Any]
) -> dict[str, Any]:
    """All curves of one case.

    Args:
        case: which.
        source: path or name of the data.
        options: of the command line.
        row: what an earlier call made, or empty; its curves are kept.

    Returns:
        The row, ready for JSON.
    """
    data, _ = open_case(case, source)
    recipe = fctfast.train.recipes.load_recipe(RECIPES[case.data])
    config = DBRConfig.from_recipe(recipe)
    folder = options.work / case.name
    folder.mkdir(parents=True, exist_ok=True)
    found = None if case.attack == CLEAN else _audit(case, options.audits)
    model, mean, std = base_model(case, data, config, folder)
    test = fctfast.open_dataset(
        source, split="test", limit=options.test_images, seed=case.seed,
        image_size=recipe.data.image_size,
    )  # fmt: skip
    row = {"curves": {}, "parts": {}, "removal": {}, "commits": {}} | row
    row |= {"case": asdict(case), "test_images": len(test), "versions": versions()}
    if found is None:
        row["clean"] = {
            name: evaluate(model, test, attacks.get(name), case.target, mean=mean, std=std)
            for name in ATTACKS
        }
        return row
    audit = {"settings": found.settings, "verdict": found.verdict.summary()}
    audit = json.loads(json.dumps(audit))
    if row.get("audit", audit) != audit:
        raise SystemExit(f"{case.name}: its row has curves of another audit; move the row away")
    row["audit"] = audit
    for name in _missing(row, options):
        variant = VARIANTS[name]
        # As D-BR does it: without evidence D_p is the paper's share.
        split = with_paper_share(found.resplit(*variant.shares))[0].split
        known, poisoned = parts(data, split)
        removal = variant.removal or config.removal
        stages = [s for s in removal.stages(known, poisoned) if s.name in variant.stages]
        row["removal"][name] = asdict(removal)
        row["commits"][name] = commit()
        row["parts"][name] = {"d_p": int(poisoned.sum()), "d_c": int((~poisoned).sum())}
        row["curves"][name] = curve(
            model, stages, known, poisoned, removal.fit, test, attacks.get(case.attack),
            target=case.target, mean=mean, std=std, seed=case.seed,
            checkpoint=folder / f"{name}-state.safetensors",
        )  # fmt: skip
    return row


def _audit(case: Case, audits: Path) -> Detection:
    """Load a case's audit, before anything is trained for it."""
    folder = audits / case.name
    if not folder.exists():
        raise SystemExit(
            f"{folder}: no audit of this set; make it with sd_audits.py run --only {case.name} "
            f"--work {audits}, whose plans tuning, judged, fresh and sweeps hold these sets"
        )
    return Detection.load(folder)


def _check_settings(result: Path, row: dict[str, Any], case: Case, test_images: int) -> None:
    """Refuse to put curves beside those of other settings."""
    if row and row["test_images"] != test_images:
        raise SystemExit(
            f"{result} is of {row['test_images']} test images, not of {test_images}: move it away, "
            f"or ask for --test-images {row['test_images']}"
        )
    recipe = DBRConfig.from_recipe(RECIPES[case.data]).removal
    there = row.get("removal", {})
    now = {name: asdict(VARIANTS[name].removal or recipe) for name in there}
    differing = differing_keys(there, json.loads(json.dumps(now)))
    if differing:
        raise SystemExit(f"{result} is of other settings: {'; '.join(differing)}; move it away")


def _missing(row: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Variants that a row has no curve of."""
    return [name for name in options.variants if name not in row["curves"]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a plan or print the table; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "table":
        print("\n".join(_table(options.out)))
        return 0
    options.variants = options.variants or PLANNED.get(options.plan, tuple(USUAL))
    sources = Sources(options.source)
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in PLANS[options.plan]:
        result = options.out / f"{case.name}-t{case.target}.json"
        if options.only and options.only not in case.name:
            continue
        row = io.read_json(result) if result.exists() else {}
        _check_settings(result, row, case, options.test_images)
        if "clean" in row or ("curves" in row and not _missing(row, options)):
            sources.finished()
            continue
        if (source := sources.find(case.name, case.data)) is None:
            continue
        print(case.name, file=sys.stderr, flush=True)
        row = repair(case, source, options, row)
        io.write_json(result, {**row, "plan": options.plan})
    return sources.exit_code()


def _table(folder: Path) -> Iterator[str]:
    rows = rows_in(folder)
    clean = {
        (r["case"]["seed"], r["case"]["target"], name): seen["asr"]
        for r in rows
        if "clean" in r
        for name, seen in r["clean"].items()
    }
    yield "| case | D-BR | base ACC / ASR | passes | ACC / ASR after | ASR of a clean model |"
    yield "|---" * 6 + "|"
    for row in rows:
        if "curves" not in row or not row["curves"]:
            continue
        case = Case(**row["case"])
        asr = clean.get((case.seed, case.target, case.attack))
        for name, curve_ in row["curves"].items():
            first, last = (
                f"{100 * r['acc']:.1f} / {100 * r['asr']:.1f}" for r in (curve_[0], curve_[-1])
            )
            yield (
                f"| {case.name} | {name} | {first} | {len(curve_) - 1} | {last} | "
                f"{'-' if asr is None else f'{100 * asr:.1f}'} |"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts_ = parser.add_subparsers(dest="part", required=True)
    run = parts_.add_parser("run", help="train, repair and measure the cases of a plan")
    add_run_options(run, PLANS)
    run.add_argument("--audits", type=Path, required=True, help="--work of sd_audits.py")
    run.add_argument(
        "--variants", nargs="+", choices=VARIANTS, help="default: what the plan is for"
    )
    run.add_argument("--test-images", type=int, default=2000, help="measured each pass (2,000)")
    table = parts_.add_parser("table", help="print the results as Markdown")
    for part in (run, table):
        part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
