"""How much of a step of D-ST's first stage is spent outside the network: before, and with our ops.

Before: the published pipeline of PIL views and the loss with the N x N matrix; the loader gathers a
batch from a set in memory. One process and the
CPU recipe's network, batch and image size; medians. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import supcon_peers as peers
import torch
from test_contrastive_views import MEAN, STD, ours, pil
from torch import Tensor

from fctfast.data import ImageSet
from fctfast.defend import DSTConfig
from fctfast.defend.extractor import Projected
from fctfast.detect.probe import describe
from fctfast.models.adapters import feature_dimension
from fctfast.ops import supcon_loss
from fctfast.train.precision import forward_context, preferred_memory_format, resolve_precision
from fctfast.train.versions import versions

SAMPLES = 20_000
EXAMPLE = """example:
  python bench/step_share.py > bench/results/DATE-step_share.md
"""


def seconds(function: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call, after one that does not count."""
    function()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(argv)
    settings = DSTConfig.from_recipe("cifar10-cpu").extractor
    batch, side = settings.fit.batch_size, 32
    images = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8)
    labels = torch.arange(batch) % 10
    data = ImageSet(torch.arange(batch), images, labels, tuple("abcdefghij"))
    network = describe(settings.network, data, MEAN, STD).build()
    blank = torch.zeros(1, 3, side, side)
    model = Projected(network, feature_dimension(network, blank), settings.projection).train()
    device = torch.device("cpu")
    layout = preferred_memory_format(device, model)
    model.to(memory_format=layout)
    precision = resolve_precision("auto", device)
    views = ours(images, side, memory_format=layout)

    def pass_through() -> None:
        with forward_context(precision, device):
            z = model(views)
        z.float().sum().backward()
        model.zero_grad()

    z = torch.randn(2 * batch, settings.projection, requires_grad=True)
    groups = labels.repeat(2)

    def of(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(z, groups), z)

    set_of = torch.randint(0, 256, (SAMPLES, side, side, 3), dtype=torch.uint8)
    rows_of = torch.randperm(SAMPLES)[:batch]
    # The set lies in memory, before as well: its batches are gathered.
    load = seconds(lambda: set_of[rows_of], options.rounds)
    through = seconds(pass_through, options.rounds)
    rows = {
        "before (PIL, N x N)": (pil(images, side), of(peers.eager)),
        "with our ops": (
            lambda: ours(images, side, memory_format=layout),
            of(lambda z, g: supcon_loss(z, g, peers.TEMPERATURE, peers.BASE)),
        ),
    }
    print("# step_share\n\n" + ", ".join(f"{k} {v}" for k, v in versions().items()) + "\n")
    print(f"{batch} images of {side}x{side}, two views, {precision}; milliseconds a step\n")
    print("| step | loader | views | loss | network | outside the network |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, (make, compare) in rows.items():
        parts = [load, seconds(make, max(3, options.rounds // 3)), seconds(compare, options.rounds)]
        share = sum(parts) / (sum(parts) + through)
        cells = " | ".join(f"{1e3 * part:.1f}" for part in (*parts, through))
        print(f"| {name} | {cells} | {share:.1%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
