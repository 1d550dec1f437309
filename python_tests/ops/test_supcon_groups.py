"""Who attracts whom: groups of SS-CTL, and readings of Eq. 2 that only the reference has."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fctfast.ops import reference, semi_supervised_groups


def test_groups_of_ss_ctl() -> None:
    given, clean = torch.tensor([3, 3, 0, 3]), torch.tensor([True, False, True, True])
    assert semi_supervised_groups(given, clean).tolist() == [3, -2, 0, 3] * 2
    # Eq. 2: clean-clean pairs of a class attract, and every sample's own views.
    alike = reference.same_group(semi_supervised_groups(given, clean))
    assert alike[0].tolist() == [False, False, False, True, True, False, False, True]
    assert alike[1].tolist() == [False] * 5 + [True] + [False] * 2
    ids = torch.tensor([7, 2**40, 9, 1])
    assert semi_supervised_groups(given, clean, 1, ids).tolist() == [3, -1 - 2**40, 0, 3]


def test_other_readings_of_eq_2() -> None:
    given, clean = torch.tensor([3, 3, 0, 3]), torch.tensor([True, False, True, True])
    official = reference.official_positives(given, clean)
    # As published, a clean anchor takes flagged columns of its label, too.
    assert official[0].tolist() == [False, True, False, True, True, True, False, True]
    assert official[1].tolist() == [False] * 5 + [True] + [False] * 2
    weights = reference.pair_weights(given, clean)
    third = pytest.approx(1 / 3)
    assert weights[0].tolist() == [0, 0, 0, third, third, 0, 0, third]
    assert weights[1].tolist() == [0] * 5 + [1] + [0] * 2
    # Eq. 10 by hand for the one pair of clean samples, 0 and 3, and Eq. 9 for sample 1.
    z = torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = F.normalize(z, dim=1) @ F.normalize(z, dim=1).T / 0.3
    log_p = s - s.masked_fill(torch.eye(8, dtype=torch.bool), -math.inf).logsumexp(1, keepdim=True)
    members = [0, 3, 4, 7]
    wanted = -sum(log_p[i, j] for i in members for j in members if i != j) / 3
    wanted = wanted - log_p[1, 5] - log_p[5, 1]
    found = reference.contrastive_loss(z, weights, 0.3, normalise=False)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"labels": torch.zeros(4)}, TypeError, "expected labels int64"),
        ({"clean": torch.zeros(4)}, TypeError, "expected clean bool"),
        ({"clean": torch.zeros(3, dtype=torch.bool)}, ValueError, r"expected clean \[B\]"),
        ({"ids": torch.arange(5)}, ValueError, r"expected ids \[B\]"),
        ({"views": 0}, ValueError, "at least one view"),
        ({"labels": torch.tensor([0, 1, -2, 0])}, ValueError, "labels of at least 0, got -2"),
    ],
)
def test_errors_of_groups(change: dict[str, object], kind: type[Exception], words: str) -> None:
    good = {"labels": torch.zeros(4, dtype=torch.int64), "clean": torch.ones(4, dtype=torch.bool)}
    with pytest.raises(kind, match=words):
        semi_supervised_groups(**{**good, **change})  # type: ignore[arg-type]  (wrong on purpose)
