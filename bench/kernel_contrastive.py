"""What contrastive_views on the GPU reads and computes, for the crops and colours drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gpu_cases import Case
from torch import Tensor

from fctfast import ops
from fctfast.ops.sample_contrastive import COLUMNS

_PART = 256 * 4  # pixels of a block: kPart of contrastive_views.h


@dataclass(frozen=True)
class Counts:
    """How often things happen in all views of a case.

    Attributes:
        pixels: written.
        walked: those, and those walked over before for a mean that no block can have alone.
        row_taps: inputs of each walked pixel along the vertical axis.
        column_taps: along the horizontal axis.
        taps: row taps times column taps.
        jittered: pixels whose four colour steps are drawn.
        drained: pixels that become grey.
    """

    pixels: int
    walked: int
    row_taps: int
    column_taps: int
    taps: int
    jittered: int
    drained: int


def params_of(case: Case) -> Tensor:
    """Return the params [V, B, 16] that the case's benchmark draws, of its first samples."""
    made = ops.sample_contrastive(
        torch.arange(case.batch), 0, 0, case.draws, (case.shape[1], case.shape[2])
    )
    return made.unflatten(0, (case.draws, -1))


def counts_of(case: Case, params: Tensor, *, as_built: bool = True) -> Counts:
    """Count what the kernel does for these params, [V, B, 16].

    Args:
        case: which.
        params: of `params_of`.
        as_built: with the walk before the mean; without it every pixel is walked over once.
    """
    words = {name: params[..., i].flatten().long() for i, name in enumerate(COLUMNS)}
    rows, columns = _taps(words["height"], case.side), _taps(words["width"], case.side)
    view, walks = case.side**2, torch.ones_like(rows)
    if as_built and view > _PART:
        walks += words["jitter"]
    return Counts(
        pixels=len(rows) * view,
        walked=view * int(walks.sum()),
        row_taps=case.side * int((walks * rows).sum()),
        column_taps=case.side * int((walks * columns).sum()),
        taps=int((walks * rows * columns).sum()),
        jittered=view * int(words["jitter"].sum()),
        drained=view * int(words["grey"].sum()),
    )


def _taps(inputs: Tensor, outputs: int) -> Tensor:
    """How many inputs all outputs of an axis take together: taps_of() of resampling.h."""
    centre = inputs[:, None] * (2 * torch.arange(outputs) + 1)
    reach = 2 * inputs.clamp_min(outputs)[:, None]
    first = (centre - reach + outputs).clamp_min(0) // (2 * outputs)
    last = torch.minimum((centre + reach + outputs) // (2 * outputs), inputs[:, None])
    return (last - first).sum(1)


def operations(case: Case, counts: Counts) -> tuple[float, float]:
    """Return integer and float operations; a 64-bit integer one is two of 32 bits.

    Of a walked pixel: a division by a product (three operations in 64 bits) and 3 others for its
    place, for each axis two divisions and 14 others; in float 5 for the scale and a product a
    channel. Of an axis' tap: 3 for the total. Of a row's tap: 2 for its weight, 2 a channel. Of a
    tap: 2 for its address and in float 2 for its weight; a channel 2 (address, conversion) and 2.
    Of a jittered pixel: three blends of 14, two greys of 5, 3 for the mean, about 50 for the hue;
    of a drained one a grey; of a written one 2 a channel.
    """
    channels = case.shape[3]
    integers = counts.walked * (6 + 3 + 2 * (2 * 6 + 14)) + counts.taps * (2 + 2 * channels)
    floats = (
        counts.walked * (5 + channels)
        + (counts.row_taps + counts.column_taps) * 3
        + (counts.row_taps + counts.taps) * (2 + 2 * channels)
        + counts.jittered * (3 * 14 + 2 * 5 + 3 + 50)
        + counts.drained * 5
        + counts.pixels * 2 * channels
    )
    return integers, floats
