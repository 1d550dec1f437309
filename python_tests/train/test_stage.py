"""Stages unfold into passes; every sample once a pass."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctfast.data import ImageSet
from fctfast.train import Budget, Stage, cross_entropy
from fctfast.train.stage import batch_bounds, shuffled_batches, unfold


@given(st.integers(1, 400), st.integers(2, 130))
def test_batches_cover_every_sample_once_and_none_is_alone(count: int, size: int) -> None:
    bounds = batch_bounds(count, size)
    assert [i for first, end in bounds for i in range(first, end)] == list(range(count))
    sizes = [end - first for first, end in bounds]
    assert all(s == size for s in sizes[:-1])
    assert sizes[-1] <= size + 1
    assert count == 1 or min(sizes) > 1


def test_a_pass_shows_every_sample_once_in_an_order_of_its_own(images: ImageSet) -> None:
    stage = Stage("base", images, budget=Budget(epochs=3))
    passes = unfold([stage], 16)
    orders = [torch.cat(list(shuffled_batches(p, 16, 0))) for p in passes]
    assert all(torch.equal(order.sort().values, torch.arange(50)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    again = torch.cat(list(shuffled_batches(passes[1], 16, 0)))
    assert torch.equal(again, orders[1])
    assert not torch.equal(torch.cat(list(shuffled_batches(passes[0], 16, 1))), orders[0])


def test_stages_follow_each_other_and_steps_add_up(images: ImageSet) -> None:
    stages = [
        Stage("probe", images, budget=Budget(epochs=1, min_steps=6)),  # 4 steps a pass
        Stage("spread", images, budget=Budget(epochs=2)),
        Stage("nothing", images, budget=Budget(epochs=0)),
    ]
    passes = unfold(stages, 16)
    rows = [(p.stage.name, p.index, p.batches, p.full, p.first_step, p.position) for p in passes]
    assert rows == [
        ("probe", 0, 4, 4, 0, 0.0),
        ("probe", 1, 2, 4, 4, 1.0),
        ("spread", 2, 4, 4, 6, 1.5),
        ("spread", 3, 4, 4, 10, 2.5),
    ]


def test_a_cut_pass_shows_the_head_of_its_order(images: ImageSet) -> None:
    stage = Stage("base", images, budget=Budget(epochs=1, max_steps=2))
    (cut,) = unfold([stage], 16)
    batches = list(shuffled_batches(cut, 16, 0))
    (whole,) = unfold([Stage("base", images)], 16)
    assert torch.equal(torch.cat(batches), torch.cat(list(shuffled_batches(whole, 16, 0)))[:32])


def test_an_empty_set_is_an_error(images: ImageSet) -> None:
    with pytest.raises(ValueError, match="stage unlearn: expected at least one image"):
        Stage("unlearn", images.select([]))


def test_cross_entropy_ignores_features() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = -logits.log_softmax(1)[torch.arange(5), labels].mean()
    got = cross_entropy(torch.full((5, 2), float("nan")), logits, labels)
    torch.testing.assert_close(got, expected)
