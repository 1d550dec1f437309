"""Which guards make SD trustworthy: a resumable study, one row a moment of each case's probe.

`collect` trains the probes of cases and keeps their moments in a work folder (25 MB a moment);
`rows` computes every candidate from them into one JSON file a case; `table` lays those out.
A killed `collect` goes on where it was. What is a case: `sd_moments.py`; what is computed:
`sd_rows.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from plan_runs import Sources, add_source
from sd_moments import CLEAN, EARLIER, Case, collect, observe_again
from sd_rows import case_rows

from fctfast import io
from fctfast.memory import keep_freed_memory
from fctfast.train import make_progress
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/sd_study.py collect --source cifar10=cifar10.zip --work study
  python bench/sd_study.py rows --work study --out bench/results/sd
  python bench/sd_study.py table --out bench/results/sd > bench/results/DATE-sd.md
"""
ATTACKS = ("badnets-all2one", "blend-signal")
CHOSEN_BY = ("separation", "rank_stability", "concentration", "training_accuracy")
"""Statistics without truth that could choose the moment whose scores count."""


def tuning() -> Iterator[Case]:
    """Seeds 0 to 2, target 0: what choices may look at.

    Robust mode as it was when they were made, with one pass of L_intra alone.
    """
    for seed in range(3):
        for attack in ATTACKS:
            yield Case("cifar10", attack, 0.1, 0, seed, mode=EARLIER)
        yield Case("cifar10", CLEAN, 0.0, 0, seed, mode=EARLIER)
        yield Case("digits", ATTACKS[0], 0.1, 0, seed)
        yield Case("digits", CLEAN, 0.0, 0, seed)
        for attack in ATTACKS:
            yield Case("cifar10", attack, 0.03, 0, seed, mode=EARLIER)
        yield Case("cifar10", ATTACKS[0], 0.1, 0, seed, mode="published")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the three parts; return the exit code."""
    options = _parser().parse_args(argv)
    if options.part == "collect":
        return _collect(options)
    if options.part == "rows":
        for folder in sorted(p.parent for p in options.work.glob("*/truth.safetensors")):
            print(folder.name, file=sys.stderr, flush=True)
            made = {**case_rows(folder), "versions": versions()}
            io.write_json(options.out / f"{folder.name}.json", made)
        return 0
    print("\n".join([*_table(options.out), "", *_choices(options.out)]))
    return 0


def _collect(options: argparse.Namespace) -> int:
    sources = Sources(options.source)
    if options.threads:
        torch.set_num_threads(options.threads)
    for case in tuning():
        if options.only and options.only not in case.name:
            continue
        if (source := sources.find(case.name, case.data)) is None:
            continue
        print(case.name, file=sys.stderr, flush=True)
        folder = collect(case, source, options.work, make_progress(quiet=False))
        for transform in options.under:
            observe_again(folder, source, transform, options.draws)
    return sources.exit_code()


def _table(folder: Path) -> Iterator[str]:
    """A line a moment: the statistic that decides, and the three scores that matter."""
    names = (
        "one draw", "lowest", "geometric", "geometric, suspected first",
        "mean rank over moments so far",
    )  # fmt: skip
    yield (
        "| case | step | stage | train acc | separation (class) | second | other taus | "
        "stability | "
        + " | ".join(names) + " |"
    )  # fmt: skip
    yield "|---" * (8 + len(names)) + "|"
    for path in sorted(folder.glob("*.json")):
        record = io.read_json(path)
        for row in record["moments"]:
            yield f"| {path.stem} | " + " | ".join(_cells(row, names)) + " |"


def _choices(folder: Path) -> Iterator[str]:
    """A line a poisoned case: the moment that each statistic picks, and what D_p is worth there."""
    yield "| case | " + " | ".join(f"{name}: step, D_p poisoned" for name in CHOSEN_BY) + " |"
    yield "|---" * (1 + len(CHOSEN_BY)) + "|"
    for path in sorted(folder.glob("*.json")):
        rows = [row for row in io.read_json(path)["moments"] if "separation" in row]
        if not any("scores" in row for row in rows):
            continue
        picked = [max(rows, key=lambda row, name=name: row[name]) for name in CHOSEN_BY]
        purities = [row["scores"]["geometric, suspected first"]["d_p_poisoned"] for row in picked]
        cells = [f"{row['step']}, {p:.3f}" for row, p in zip(picked, purities, strict=True)]
        yield f"| {path.stem} | " + " | ".join(cells) + " |"


def _cells(row: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    yield str(row["step"])
    yield str(row["stage"])
    yield f"{row['accuracy']:.2f}"
    seen = "separation" in row
    yield f"{row['separation']:.2f} ({row['clearest_class']})" if seen else "-"
    yield f"{row['second_separation']:.2f}" if seen else "-"
    yield "; ".join(
        f"{name} {max(s or 0.0 for s in under['class_separation']):.2f}"
        for name, under in row.get("taus", {}).items()
    )
    yield f"{row['rank_stability']:.2f}" if seen else "-"
    for name in names:
        q = row.get("scores", {}).get(name)
        yield (
            "-"
            if q is None
            else (f"{q['auroc']:.3f} / {q['d_p_poisoned']:.3f} / {q['d_c_clean']:.4f}")
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    for name, text in (
        ("collect", "train probes and keep their moments"),
        ("rows", "compute every candidate from the moments"),
        ("table", "print the rows as Markdown: AUROC / D_p poisoned / D_c clean"),
    ):
        part = parts.add_parser(name, help=text)
        if name != "table":
            part.add_argument("--work", type=Path, required=True, help="folder of the moments")
        if name == "collect":
            add_source(part)
            part.add_argument("--only", metavar="TEXT", help="cases whose name holds this")
            part.add_argument("--threads", type=int, help="default: torch's")
            part.add_argument(
                "--under",
                action="append",
                default=[],
                metavar="A+B",
                help="look under this tau, too",
            )
            part.add_argument("--draws", type=int, default=3, help="under those (3)")
        else:
            part.add_argument("--out", type=Path, required=True, help="folder of JSON files")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
