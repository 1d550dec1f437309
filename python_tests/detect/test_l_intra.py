"""Facts about L_intra: the published form, present classes only, K^2 in the denominator."""

from __future__ import annotations

import pytest
import torch

from fctfast.detect.l_intra import l_intra


def by_hand(features: torch.Tensor, labels: torch.Tensor) -> float:
    centres = [features[labels == c].mean(0) for c in sorted(set(labels.tolist()))]
    total = 0.0
    for i, a in enumerate(centres):
        for j, b in enumerate(centres):
            if i != j:
                total += float(a @ b / (a.norm() * b.norm()))
    return total / len(centres) ** 2


def test_matches_the_formula_with_classes_missing_from_the_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(31, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (31,), generator=generator) * 5
    assert float(l_intra(features, labels)) == pytest.approx(by_hand(features, labels), abs=1e-12)


def test_equal_centres_give_one_minus_one_over_k() -> None:
    features = torch.ones(8, 3, dtype=torch.float64)
    assert float(l_intra(features, torch.arange(8) % 4)) == pytest.approx(0.75)


def test_one_class_gives_zero_with_a_zero_gradient() -> None:
    features = torch.rand(5, 3, requires_grad=True)
    loss = l_intra(features, torch.zeros(5, dtype=torch.int64))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros(5, 3))


def test_gradient() -> None:
    features = torch.rand(9, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 2, 2, 2, 5, 5, 1, 1])
    assert torch.autograd.gradcheck(lambda f: l_intra(f, labels), (features,))


def test_descent_pushes_centres_apart() -> None:
    features = torch.rand(40, 6, requires_grad=True)
    labels = torch.arange(40) % 3
    before = l_intra(features, labels)
    (gradient,) = torch.autograd.grad(before, features)
    assert float(l_intra(features - 5.0 * gradient, labels).detach()) < float(before.detach())


@pytest.mark.parametrize("shape", [(0, 3), (4,), (4, 2, 2)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected features"):
        l_intra(torch.zeros(shape), torch.zeros(shape[:1], dtype=torch.int64))
