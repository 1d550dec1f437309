from __future__ import annotations

import pytest
import torch

from fctfast.attacks import attacked_labels, select_poison
from fctfast.attacks.registry import KINDS, Kind

LABELS = torch.arange(1000) % 10


@pytest.mark.parametrize(
    ("kind", "count"), [("all2one", 90), ("all2all", 100), ("clean-label", 10)]
)
def test_the_rate_is_a_share_of_the_eligible(kind: Kind, count: int) -> None:
    ids = select_poison(LABELS, rate=0.1, kind=kind, target=3, num_classes=10, seed=1)
    assert len(ids) == count
    assert len(ids.unique()) == count
    assert torch.equal(ids, ids.sort().values)
    of_target = LABELS[ids] == 3
    if kind == "all2one":
        assert not of_target.any()
    if kind == "clean-label":
        assert bool(of_target.all())


def test_cifar_at_ten_percent_is_4500() -> None:
    labels = torch.arange(50_000) % 10
    ids = select_poison(labels, rate=0.1, kind="all2one", target=0, num_classes=10, seed=0)
    assert len(ids) == 4500


def test_exact_shares_are_not_lost_to_binary_fractions() -> None:
    labels = torch.ones(100, dtype=torch.int64)
    for percent in range(1, 101):
        ids = select_poison(
            labels, rate=percent / 100, kind="all2one", target=0, num_classes=2, seed=0
        )
        assert len(ids) == percent


def test_the_choice_depends_on_the_seed_and_not_on_the_order() -> None:
    def chosen(seed: int, order: torch.Tensor) -> torch.Tensor:
        return select_poison(
            LABELS[order],
            rate=0.2,
            kind="all2one",
            target=0,
            num_classes=10,
            seed=seed,
            ids=torch.arange(1000)[order],
        )

    straight, backwards = torch.arange(1000), torch.arange(999, -1, -1)
    assert torch.equal(chosen(5, straight), chosen(5, backwards))
    assert not torch.equal(chosen(5, straight), chosen(6, straight))


def test_label_mapping() -> None:
    labels = torch.tensor([0, 1, 9])

    def mapped(kind: Kind) -> list[int]:
        return attacked_labels(labels, kind=kind, target=4, num_classes=10).tolist()

    assert mapped("all2one") == [4, 4, 4]
    assert mapped("all2all") == [1, 2, 0]
    assert mapped("clean-label") == [4, 4, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_outside_the_classes_is_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match=r"target in 0\.\.9, got 10"):
        select_poison(LABELS, rate=0.1, kind=kind, target=10, num_classes=10, seed=0)


def test_bad_rates_are_refused() -> None:
    for rate in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"rate in \(0, 1\]"):
            select_poison(LABELS, rate=rate, kind="all2one", target=0, num_classes=10, seed=0)
    with pytest.raises(ValueError, match="less than one sample"):
        select_poison(LABELS, rate=0.001, kind="all2one", target=0, num_classes=10, seed=0)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        select_poison(LABELS * 0, rate=0.1, kind="all2one", target=0, num_classes=1, seed=0)
