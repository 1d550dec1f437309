"""Facts about the split: exact counts, order by (score, id), errors that say what to do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fctfast.detect.split import split_scores


def test_lowest_scores_are_clean_and_highest_poisoned() -> None:
    fct = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0, 0.0])
    split = split_scores(torch.arange(10) + 100, fct, alpha_c=0.2, alpha_p=0.1)
    assert split.clean.tolist() == [109, 101]
    assert split.poisoned.tolist() == [105]
    assert split.gamma_c == 1.0
    assert split.gamma_p == 9.0
    assert split.uncertain.tolist() == [103, 104, 102, 100, 108, 107, 106]


def test_ties_are_broken_by_id_whatever_the_order_of_arrival() -> None:
    ids = torch.tensor([7, 3, 9, 1, 5, 0, 2, 4, 6, 8])
    split = split_scores(ids, torch.zeros(10), alpha_c=0.3, alpha_p=0.2)
    assert split.clean.tolist() == [0, 1, 2]
    assert split.poisoned.tolist() == [8, 9]


@pytest.mark.parametrize(
    ("samples", "alpha", "count"),
    [(100, 0.29, 29), (1000, 0.001, 1), (20_000, 0.05, 1000), (21, 0.05, 1), (39, 0.05, 1)],
)
def test_counts_are_exact(samples: int, alpha: float, count: int) -> None:
    # .29 * 100 is 28.999... in binary floating point.
    ids = torch.arange(samples)
    split = split_scores(ids, torch.rand(samples, dtype=torch.float64), alpha_c=alpha, alpha_p=0.0)
    assert split.clean.numel() == count
    assert split.poisoned.numel() == 0
    assert split.gamma_p is None


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(0, 6), min_size=20, max_size=90),
    shares=st.sampled_from([(0.2, 0.05), (0.5, 0.5), (0.05, 0.9), (0.1, 0.1), (0.7, 0.3)]),
    shuffle=st.randoms(use_true_random=False),
)
def test_every_id_lands_in_one_part_and_order_does_not_matter(
    values: list[int], shares: tuple[float, float], shuffle: object
) -> None:
    fct = torch.tensor(values, dtype=torch.float64)
    ids = torch.arange(len(values)) * 3
    split = split_scores(ids, fct, alpha_c=shares[0], alpha_p=shares[1])
    parts = [split.clean, split.uncertain, split.poisoned]
    assert sorted(torch.cat(parts).tolist()) == ids.tolist()
    assert split.clean.numel() == int(round(shares[0] * len(values) * 1e6) // 1_000_000)
    order = list(range(len(values)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    again = split_scores(ids[order], fct[order], alpha_c=shares[0], alpha_p=shares[1])
    assert all(
        torch.equal(a, b)
        for a, b in zip(parts, [again.clean, again.uncertain, again.poisoned], strict=True)
    )


def test_a_share_of_one_is_allowed_and_leaves_nothing_uncertain() -> None:
    split = split_scores(torch.arange(10), torch.rand(10), alpha_c=0.7, alpha_p=0.3)
    assert split.uncertain.numel() == 0
    assert split.clean.numel() == 7


def test_part_of_names_parts_and_refuses_strangers() -> None:
    split = split_scores(torch.arange(10), torch.arange(10.0), alpha_c=0.2, alpha_p=0.1)
    assert split.part_of(torch.tensor([9, 0, 5])) == ["poisoned", "clean", "uncertain"]
    with pytest.raises(ValueError, match="not part of this split"):
        split.part_of(torch.tensor([11]))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha_c": 0.8, "alpha_p": 0.3}, "must not exceed 1"),
        ({"alpha_c": -0.1}, r"alpha_c in \[0, 1\]"),
        ({"alpha_p": 1.5}, r"alpha_p in \[0, 1\]"),
        ({"alpha_p": float("nan")}, r"alpha_p in \[0, 1\]"),
        ({"alpha_p": 0.01}, "at least 100 samples"),
    ],
)
def test_impossible_shares_are_refused(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_scores(torch.arange(40), torch.rand(40), **kwargs)


def test_scores_that_mean_nothing_are_refused() -> None:
    ids, fct = torch.arange(40), torch.rand(40)
    with pytest.raises(ValueError, match="not finite"):
        split_scores(ids, fct.index_fill(0, torch.tensor([3]), float("nan")))
    with pytest.raises(ValueError, match="distinct"):
        split_scores(torch.zeros(40, dtype=torch.int64), fct)
    with pytest.raises(ValueError, match="one shape"):
        split_scores(ids[:39], fct)
    with pytest.raises(TypeError, match="int64"):
        split_scores(ids.int(), fct)
    with pytest.raises(TypeError, match="floating-point"):
        split_scores(ids, ids)


def test_suspected_samples_come_after_all_others_in_the_order_of_their_scores() -> None:
    ids = torch.arange(10)
    fct = torch.tensor([5.0, 9.0, 1.0, 3.0, 8.0, 2.0, 7.0, 6.0, 4.0, 0.0])
    suspected = torch.zeros(10, dtype=torch.bool)
    suspected[[2, 0, 9]] = True
    split = split_scores(ids, fct, suspected=suspected, alpha_c=0.3, alpha_p=0.4)
    assert split.poisoned.tolist() == [1, 9, 2, 0]
    assert split.clean.tolist() == [5, 3, 8]
    assert split.gamma_c == 4.0
    assert split.gamma_p == 0.0
    plain = split_scores(ids, fct, alpha_c=0.3, alpha_p=0.4)
    none = split_scores(ids, fct, suspected=~suspected & False, alpha_c=0.3, alpha_p=0.4)
    assert torch.equal(plain.poisoned, none.poisoned)
    with pytest.raises(ValueError, match=r"expected suspected bool \[10\]"):
        split_scores(ids, fct, suspected=torch.zeros(9, dtype=torch.bool))
