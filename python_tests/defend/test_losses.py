"""Facts about the losses of BR."""

from __future__ import annotations

import torch

from fctfast.defend import l_relearn, l_unlearn

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
