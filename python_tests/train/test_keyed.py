"""Numbers keyed by (key, id, column)."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctfast.train.keyed import uniform

IDS = st.lists(st.integers(0, 2**62), min_size=1, max_size=20, unique=True)


@given(IDS, st.integers(0, 2**63 - 1), st.randoms(use_true_random=False))
def test_order_and_batch_do_not_matter(ids: list[int], key: int, rng: object) -> None:
    whole = uniform(key, torch.tensor(ids), 3)
    order = list(range(len(ids)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    for position in order:
        alone = uniform(key, torch.tensor([ids[position]]), 3)
        assert np.array_equal(alone[:, 0], whole[:, position])


def test_numbers_are_in_range_uniform_and_uncorrelated() -> None:
    draws = uniform(12345, torch.arange(100_000), 4)
    assert draws.min() >= 0
    assert draws.max() < 1
    # Chi-square over 100 bins: 99 +- 14, so 170 is five standard deviations.
    for column in draws:
        counts = np.histogram(column, bins=100, range=(0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 170
    # Correlation of independent columns: standard error .003.
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.016
    neighbours = np.corrcoef(draws[0][:-1], draws[0][1:])[0, 1]
    assert abs(neighbours) < 0.016


def test_neighbouring_keys_are_unrelated() -> None:
    a, b = (uniform(key, torch.arange(100_000), 1)[0] for key in (8, 9))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.016


EXPECTED = ["0.824397", "0.983756", "0.276551", "0.369904", "0.638813", "0.978768"]


def test_the_numbers_never_change() -> None:
    # Written down once: training runs of different versions must see the same augmentation.
    draws = uniform(1, torch.tensor([0, 1, 2**40]), 2)
    assert [f"{x:.6f}" for x in draws.ravel()] == EXPECTED
