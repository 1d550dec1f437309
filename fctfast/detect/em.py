"""Two Gaussians fitted to many columns of numbers at once, by the EM of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

MAX_ITERATIONS = 200
TOLERANCE = 1e-4
"""Of the mean log-likelihood between two iterations."""

NARROWEST = 1e-4
"""Added to variances: a group as narrow as a hundredth of the whole is a repeated value."""

_CELLS = 1 << 18
"""Values of all columns and starts that are worked on together: 2 MB, which a cache holds."""

_CONSTANT = 0.5 * math.log(2 * math.pi)
_NOBODY = 10 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Fit:
    """Two Gaussians and how well they describe a column.

    Args:
        weights: shares of the column, summing to 1.
        means: of each.
        deviations: standard deviations.
        log_likelihood: mean over the values.
    """

    weights: tuple[float, float]
    means: tuple[float, float]
    deviations: tuple[float, float]
    log_likelihood: float


def fit_two(columns: Sequence[Array], cuts: Sequence[float]) -> list[Fit | None]:
    """Fit two Gaussians to each column, starting at several cuts.

    A cut is a quantile; the values below it and those from it on are the two groups at the start.

    Args:
        columns: float64 [N_i], each of mean 0 and variance 1.
        cuts: quantiles in (0, 1).

    Returns:
        The likeliest fit of each column; None where no cut leaves two values on either side.
    """
    found: list[Fit | None] = [None] * len(columns)
    for numbers in _batches([column.size for column in columns], len(cuts)):
        starts, owners = [], []
        for number in numbers:
            for cut in cuts:
                start = _start(columns[number], cut)
                if start is not None:
                    starts.append(start)
                    owners.append(number)
        if not starts:
            continue
        values, inside = _padded([columns[number] for number in owners])
        state = _expectation_maximisation(values, inside, np.array(starts))
        likelihoods = _log_likelihood(values, inside, state)[0]
        best: dict[int, int] = {}
        for row, owner in enumerate(owners):
            if owner not in best or state[row, 6] > state[best[owner], 6]:
                best[owner] = row
        for owner, row in best.items():
            w0, w1, m0, m1, v0, v1 = (float(x) for x in state[row, :6])
            found[owner] = Fit(
                (w0, w1), (m0, m1), (math.sqrt(v0), math.sqrt(v1)), float(likelihoods[row])
            )
    return found


def _batches(sizes: Sequence[int], starts: int) -> Iterator[list[int]]:
    """Columns of similar sizes together: they are padded to the longest."""
    batch: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
        if batch and (len(batch) + 1) * starts * sizes[batch[0]] > _CELLS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _start(z: Array, cut: float) -> tuple[float, ...] | None:
    if len(z) < 4:
        return None
    border = float(np.quantile(z, cut))
    below, above = z[z < border], z[z >= border]
    if len(below) < 2 or len(above) < 2:
        return None
    share = len(below) / len(z)
    spread = (max(float(side.var()), 1e-3) for side in (below, above))
    return (share, 1 - share, float(below.mean()), float(above.mean()), *spread, -math.inf)


def _padded(columns: Sequence[Array]) -> tuple[Array, Array]:
    longest = max(column.size for column in columns)
    values, inside = np.zeros((len(columns), longest)), np.zeros((len(columns), longest))
    for row, column in enumerate(columns):
        values[row, : column.size], inside[row, : column.size] = column, 1.0
    return values, inside


def _log_likelihood(z: Array, inside: Array, state: Array) -> tuple[Array, Array, Array]:
    """Mean log-likelihood of each row, and both groups' responsibilities."""
    w0, w1, m0, m1, v0, v1 = (state[:, k, None] for k in range(6))
    first = np.log(w0) - 0.5 * np.log(v0) - np.square(z - m0) / (2 * v0)
    second = np.log(w1) - 0.5 * np.log(v1) - np.square(z - m1) / (2 * v1)
    both = np.logaddexp(first, second)
    mean: Array = (both * inside).sum(1) / inside.sum(1) - _CONSTANT
    return mean, np.exp(first - both) * inside, np.exp(second - both) * inside


def _expectation_maximisation(z: Array, inside: Array, start: Array) -> Array:
    """Rows [two weights, two means, two variances, mean log-likelihood], each until it rests."""
    final: Array = start.copy()
    rows, state = np.arange(len(start)), start
    for _ in range(MAX_ITERATIONS):
        before = state[:, 6]
        mean, *groups = _log_likelihood(z, inside, state)
        sizes = [group.sum(1) + _NOBODY for group in groups]
        means = [(g * z).sum(1) / n for g, n in zip(groups, sizes, strict=True)]
        variances = [
            (g * np.square(z - m[:, None])).sum(1) / n + NARROWEST
            for g, m, n in zip(groups, means, sizes, strict=True)
        ]
        weights = [n / (sizes[0] + sizes[1]) for n in sizes]
        state = np.stack([*weights, *means, *variances, mean], 1)
        final[rows] = state
        moving = ~(np.abs(mean - before) < TOLERANCE)
        if not moving.any():
            break
        if not moving.all():
            z, inside, state, rows = z[moving], inside[moving], state[moving], rows[moving]
    return final
