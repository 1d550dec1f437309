"""Facts about the losses of the defences."""

from __future__ import annotations

import math

import torch

from fctfast.defend import Contrastive, JointRemoval, MixedCrossEntropy, l_relearn, l_unlearn
from fctfast.ops import supcon_loss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])


def test_are_equations_four_and_five() -> None:
    log_g = LOGITS.softmax(1).log()
    mean_log = (log_g[0, 0] + log_g[1, 2]) / 2
    torch.testing.assert_close(l_unlearn(LOGITS, LOGITS, LABELS), mean_log)
    torch.testing.assert_close(l_relearn(LOGITS, LOGITS, LABELS), -mean_log)


def test_descent_on_unlearn_lowers_the_given_labels_probability() -> None:
    logits = LOGITS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(l_unlearn(logits, logits, LABELS), logits)
    before = LOGITS.softmax(1)[torch.arange(2), LABELS]
    after = (LOGITS - gradient).softmax(1)[torch.arange(2), LABELS]
    assert bool((after < before).all())


def test_joint_removal_is_cross_entropy_of_clean_and_of_not_the_label() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1]])
    p = logits.double().softmax(1)
    targets = torch.tensor([0, 3 + 2, 3 + 1])
    for weight in (1.0, 4.0):
        wanted = -(p[0, 0].log() + weight * ((1 - p[1, 2]).log() + (1 - p[2, 1]).log())) / 3
        loss = JointRemoval(3, weight)(logits, logits.double(), targets)
        torch.testing.assert_close(loss, wanted)


def test_joint_removal_pulls_where_the_backdoor_answers_and_stops_where_it_is_gone() -> None:
    sure = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)
    loss = JointRemoval(3)(sure, sure, torch.tensor([3]))
    (gradient,) = torch.autograd.grad(loss, sure)
    torch.testing.assert_close(loss, torch.tensor(40.0 - math.log(2)))
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -0.5, -0.5]]))
    # The ascent of Eq. 4 does the opposite: nothing here, and everything where p is 0.
    (ascent,) = torch.autograd.grad(l_unlearn(sure, sure, torch.tensor([0])), sure)
    assert float(ascent.abs().max()) < 1e-6
    gone = torch.tensor([[-40.0, 0.0, 0.0]], requires_grad=True)
    loss = JointRemoval(3)(gone, gone, torch.tensor([3]))
    assert not loss.detach().any()
    assert float(torch.autograd.grad(loss, gone)[0].abs().max()) < 1e-6


def test_mixed_cross_entropy_is_equation_three() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [0.3, 0.2, 0.1], [1.0, 0.0, 4.0]])
    log_g = logits.double().softmax(1).log()
    loss = MixedCrossEntropy(3, lambda_p=0.25)
    # Rows 0 and 2 are of D_c with labels 0 and 1, rows 1 and 3 of D_p with labels 2 and 0.
    targets = torch.tensor([0, 3 + 2, 1, 3 + 0])
    wanted = -(log_g[0, 0] + log_g[2, 1]) / 2 + 0.25 * (log_g[1, 2] + log_g[3, 0]) / 2
    torch.testing.assert_close(loss(logits, logits.double(), targets), wanted)
    clean, flagged = targets % 3, 3 + targets % 3
    every = log_g[torch.arange(4), clean].mean()
    torch.testing.assert_close(loss(logits, logits.double(), clean), -every)
    torch.testing.assert_close(loss(logits, logits.double(), flagged), 0.25 * every)


def test_contrastive_pairs_the_views_of_a_sample() -> None:
    made = torch.Generator().manual_seed(0)
    first = torch.randn(6, 4, generator=made)
    second = first + 0.01 * torch.randn(6, 4, generator=made)
    loss, alone = Contrastive(0.1, 0.1), -1 - torch.arange(6)
    z = torch.cat([first, second])
    value = loss(z, z, alone.repeat(2))
    torch.testing.assert_close(value, supcon_loss(z, alone.repeat(2), 0.1))
    # Views that lie side by side belong together; paired otherwise the loss is large.
    assert float(value) < 0.5 < float(loss(z, z, alone.repeat_interleave(2)))
