"""How well the encoders of ssba hide: bits read back, PSNR, likeness of the changes, time.

For each image set an encoder is trained at the attack's own settings on most of the images, and
measured on the others. A case whose set is not given is left out. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from plan_runs import Sources, add_source
from torch import Tensor
from torch.nn import functional as F

import fctfast
from fctfast import attacks, seeding
from fctfast.attacks.ssba import SSBA
from fctfast.attacks.stegastamp import Stamp, load_stamp, measure
from fctfast.memory import keep_freed_memory
from fctfast.train import make_progress
from fctfast.train.versions import versions

EXAMPLE = """example:
  python bench/ssba_table.py --source cifar10=cifar10.zip --source photographs=photographs.zip \\
      --source fashion-mnist=fashion-mnist > bench/results/DATE-ssba.md
"""
SEED = 1
MOST_HELD_BACK = 500
COMPARED = 40


@dataclass(frozen=True)
class Hiding:
    """One encoder.

    Args:
        data: name of the images, as --source gives it.
        image_size: pixels a side; None is the images' own.
        psnr: None is the attack's default.
        limit: images in all.
    """

    data: str
    image_size: int | None = None
    psnr: float | None = None
    limit: int | None = None


CASES = (
    Hiding("digits"),
    Hiding("fashion-mnist", limit=10_500),
    Hiding("cifar10", limit=10_500),
    Hiding("photographs", image_size=64),
    Hiding("photographs", image_size=224),
    Hiding("photographs", image_size=224, psnr=30.0),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source(parser)
    parser.add_argument("--threads", type=int, help="default: torch's")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    sources = Sources(options.source)
    print("# ssba\n\n" + ", ".join(f"{k} {v}" for k, v in versions().items()) + "\n")
    print(
        "| images | size | trained on | measured on | bits | PSNR asked, least | bits right | "
        "cosine of the changes | processor s |"
    )
    print("|---" * 9 + "|")
    for case in CASES:
        if (source := sources.find(case.data, case.data)) is not None:
            print(line(case, source), flush=True)
    return sources.exit_code()


def line(case: Hiding, source: str) -> str:
    """Train the encoder of one case and measure it."""
    data = fctfast.open_dataset(source, limit=case.limit, image_size=case.image_size, seed=SEED)
    order = seeding.permutation(len(data), SEED, "ssba-table")
    held = min(MOST_HELD_BACK, len(data) // 5)
    trained_on, unseen = data.select(order[held:]), data.images[order[:held]]
    attack = attacks.get("ssba", psnr=case.psnr)
    began = time.process_time()
    ready = attack.prepared(trained_on, target=0, seed=SEED, progress=make_progress(quiet=False))
    spent = time.process_time() - began
    assert isinstance(ready, SSBA)
    stamp = kept(ready)
    seen = measure(stamp, unseen, torch.Generator().manual_seed(SEED))
    info = stamp.network.info
    size = "x".join(str(n) for n in (*info.image_size, info.channels))
    cells = (
        case.data, size, f"{len(trained_on):,}", f"{held}", f"{info.bits}",
        f"{info.psnr:g}, {seen['least_psnr']:.2f}", f"{seen['bits_right']:.2%}",
        f"{alike(stamp, unseen):.2f}", f"{spent:.0f}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def kept(ready: SSBA) -> Stamp:
    """The encoder as a poisoned set keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        return load_stamp(Path(folder) / ready.keep(Path(folder))["model"])


def alike(stamp: Stamp, images: Tensor) -> float:
    """Mean cosine between what the fixed secret changes in any two of some images."""
    some = images[:COMPARED]
    change = F.normalize((stamp.hide(some).float() - some.float()).flatten(1), dim=1)
    pairs = change @ change.T
    return float((pairs.sum() - pairs.trace()) / (len(some) * (len(some) - 1)))


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
