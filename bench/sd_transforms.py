"""The paper's Fig. 11 in small: every ordered pair of transformations on one probe of the SD study.

The probe is a moment that `sd_study.py collect` kept; a sample of its set is scored under each of
the 36 pairs. One JSON file holds the results and is written after every pair; a killed run goes on.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from sd_moments import Case, open_case, settings_of
from sd_rows import quality

from fctfast import io
from fctfast.detect import FctSettings, Scores, fct, weigh
from fctfast.detect.evidence import suspected_samples
from fctfast.detect.probe import describe
from fctfast.detect.scoring import normalisation
from fctfast.detect.transforms import names
from fctfast.memory import keep_freed_memory
from fctfast.train.versions import versions

EXAMPLES = """examples:
  python bench/sd_transforms.py --case study/cifar10-badnets-all2one-10pc-t0-s0-robust \\
      --step 628 --source cifar10.zip --out bench/results/sd-transforms/badnets.json
  python bench/sd_transforms.py --table bench/results/sd-transforms/*.json
"""
MEASURES = {
    "d_p_poisoned": "D_p poisoned (poison-precision)",
    "d_c_clean": "D_c clean (clean-precision)",
    "auroc": "AUROC",
    "separation": "separation of the clearest class",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Score under every pair, or lay results out; return the exit code."""
    options = _parser().parse_args(argv)
    if options.table:
        print("\n".join(line for path in options.table for line in _tables(path)))
        return 0
    if None in (options.case, options.step, options.source, options.out):
        _parser().error("give --case, --step, --source and --out, or --table")
    _score(options)
    return 0


def _score(options: argparse.Namespace) -> None:
    case = Case(**io.read_json(options.case / "case.json")["case"])
    data, poisoned = open_case(case, options.source)
    settings = settings_of(case)
    mean, std = normalisation(data, None, settings.mean, settings.std)
    kept, _ = io.read_tensors(options.case / "truth.safetensors")
    rows = data.positions(kept["ids"])[: options.samples]
    sample, truth = data.select(rows), poisoned[rows]
    probe = describe(settings.probe.network, data, mean, std).build(seed=0)
    weights, _ = io.read_tensors(options.case / f"weights-{options.step:05d}.safetensors")
    probe.load_state_dict(weights)
    probe.to(memory_format=torch.channels_last)
    identity = {
        "case": asdict(case), "step": options.step, "samples": len(sample), "draws": options.draws,
    }  # fmt: skip
    done: dict[str, Any] = {}
    if options.out.exists():
        record = io.read_json(options.out)
        if record["identity"] != identity:
            raise SystemExit(f"{options.out} is of another run: {record['identity']}")
        done = record["pairs"]
    for name in ("+".join(pair) for pair in itertools.product(names(), repeat=2)):
        if name in done:
            continue
        how = FctSettings(transform=name, draws=options.draws)
        result = fct(probe, sample, mean=mean, std=std, seed=case.seed, settings=how)
        score = result.score("geometric")
        seen = weigh(score, sample.labels, sample.num_classes)
        first = suspected_samples(score, sample.labels, seen)
        done[name] = {
            **quality(Scores(sample.ids, sample.labels, score), truth),
            "suspected_first": quality(Scores(sample.ids, sample.labels, score, first), truth),
            "separation": seen.separation,
        }
        print(name, done[name], file=sys.stderr, flush=True)
        io.write_json(options.out, {"identity": identity, "pairs": done, "versions": versions()})


def _tables(path: Path) -> Iterator[str]:
    record = io.read_json(path)
    case = Case(**record["identity"]["case"])
    yield f"## {case.name}, step {record['identity']['step']}"
    for key, title in MEASURES.items():
        yield f"\n{title}; rows: first transformation, columns: second\n"
        yield "| | " + " | ".join(names()) + " |"
        yield "|---" * (1 + len(names())) + "|"
        for a in names():
            cells = (record["pairs"].get(f"{a}+{b}", {}).get(key) for b in names())
            yield f"| {a} | " + " | ".join("-" if v is None else f"{v:.3f}" for v in cells) + " |"
    yield ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", type=Path, help="folder of a case, from sd_study.py")
    parser.add_argument("--step", type=int, help="moment of the probe")
    parser.add_argument("--source", help="the data the case was made from")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--samples", type=int, default=2000, help="of the case's sample (2,000)")
    parser.add_argument("--draws", type=int, default=2, help="of tau (2)")
    parser.add_argument("--table", type=Path, nargs="+", help="print these files as Markdown")
    return parser


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
