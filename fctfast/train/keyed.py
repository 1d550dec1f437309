"""Random numbers of a sample that depend on (key, id, column) and on nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniform(key: int, ids: Tensor, columns: int) -> npt.NDArray[np.float64]:
    """Draw numbers in [0, 1) for each sample, whatever batch or order it comes in.

    Two rounds of SplitMix64's finaliser over (key, id, column): a counter-based hash, vectorised,
    because a generator object a sample would cost more than the augmentation itself.

    Args:
        key: from :func:`fctfast.seeding.derive_seed`; it holds seed, purpose and epoch.
        ids: int64 ``[B]`` sample ids.
        columns: numbers a sample.

    Returns:
        float64 ``[columns, B]``, multiples of 2^-53.

    Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    rows = ids.cpu().numpy().astype(np.uint64)
    with np.errstate(over="ignore"):
        sample = _mix(rows * _GOLDEN ^ np.uint64(key))
        counters = np.arange(1, columns + 1, dtype=np.uint64)[:, None] * _GOLDEN
        words = _mix(_mix(sample[None, :] + counters) ^ np.uint64(key))
    result: npt.NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    mixed: npt.NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed
