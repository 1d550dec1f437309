"""The loss modules: called as SupContrast's, and equal to what they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import (
    SimCLRLoss,
    SSCTLLoss,
    SupConLoss,
    reference,
    semi_supervised_groups,
    supcon_loss,
)

FEATURES = torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 2, 1, 2])


def as_supcontrast(features: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """The published loss from its definition: unit rows, all views as anchors."""
    rows = torch.cat(torch.unbind(F.normalize(features, dim=2), dim=1))
    logits = rows @ rows.T / temperature
    own = torch.eye(len(rows))
    positives = mask.repeat(2, 2) * (1 - own)
    log_p = logits - ((logits.exp() * (1 - own)).sum(1, keepdim=True)).log()
    return -(temperature / 0.07) * ((positives * log_p).sum(1) / positives.sum(1)).mean()


def test_supcon_is_the_published_value() -> None:
    loss = SupConLoss(temperature=0.1)
    same = (LABELS[:, None] == LABELS).float()
    torch.testing.assert_close(loss(FEATURES, LABELS), as_supcontrast(FEATURES, same, 0.1))
    torch.testing.assert_close(loss(FEATURES, LABELS[:, None]), loss(FEATURES, LABELS))
    torch.testing.assert_close(loss(FEATURES, mask=same), loss(FEATURES, LABELS))
    alone = as_supcontrast(FEATURES, torch.eye(6), 0.1)
    torch.testing.assert_close(loss(FEATURES), alone)
    torch.testing.assert_close(loss(FEATURES.reshape(6, 2, 2, 4)), alone)
    assert "temperature=0.1" in repr(loss)


def test_simclr_is_nt_xent() -> None:
    first, second = F.normalize(FEATURES[:, 0], dim=1), F.normalize(FEATURES[:, 1], dim=1)
    rows = torch.cat([first, second])
    logits = (rows @ rows.T / 0.5).fill_diagonal_(-torch.inf)
    target = torch.arange(12).roll(6)
    torch.testing.assert_close(SimCLRLoss()(FEATURES), F.cross_entropy(logits, target))


def test_ss_ctl_is_between_the_two() -> None:
    loss = SSCTLLoss()
    every, nobody = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)
    torch.testing.assert_close(loss(FEATURES, LABELS, every), SupConLoss(0.1)(FEATURES, LABELS))
    torch.testing.assert_close(loss(FEATURES, LABELS, nobody), SupConLoss(0.1)(FEATURES))
    some = torch.tensor([True, True, True, False, False, True])
    rows = FEATURES.transpose(0, 1).reshape(12, 8)
    wanted = reference.supcon_loss(rows.double(), semi_supervised_groups(LABELS, some), 0.1, 0.07)
    assert float(loss(FEATURES, LABELS, some)) == pytest.approx(float(wanted), rel=1e-6)


def test_gradients_reach_the_features() -> None:
    features = FEATURES.clone().requires_grad_()
    SSCTLLoss()(features, LABELS, LABELS < 2).backward()
    assert features.grad is not None
    rows = FEATURES.transpose(0, 1).reshape(12, 8).clone().requires_grad_()
    supcon_loss(rows, semi_supervised_groups(LABELS, LABELS < 2), 0.1, 0.07).backward()
    assert rows.grad is not None
    torch.testing.assert_close(features.grad.transpose(0, 1).reshape(12, 8), rows.grad)


@pytest.mark.parametrize("loss", [SupConLoss, SimCLRLoss, SSCTLLoss])
def test_temperatures_are_looked_at_when_a_loss_is_made(loss: type[torch.nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"temperature of at least 0\.001, got 0\.0"):
        loss(temperature=0.0)
    with pytest.raises(TypeError, match=r"expected temperature to be a number, got '0\.1'"):
        loss(temperature="0.1")
    learnt = torch.nn.Parameter(torch.tensor(0.1))
    with pytest.raises(TypeError, match=r"no gradient here, pass \.item\(\)"):
        loss(temperature=learnt)


def test_errors_teach() -> None:
    with pytest.raises(ValueError, match="contrast_mode='all', got 'one'"):
        SupConLoss(contrast_mode="one")
    with pytest.raises(
        ValueError, match=r"expected features \[B, views, D\], got float32 \[6, 8\]"
    ):
        SimCLRLoss()(FEATURES[:, 0])
    with pytest.raises(ValueError, match="labels or mask, got both"):
        SupConLoss()(FEATURES, LABELS, torch.eye(6))
    with pytest.raises(ValueError, match=r"expected labels \[6\]"):
        SupConLoss()(FEATURES, LABELS[:5])
    with pytest.raises(ValueError, match=r"expected labels \[6\]"):
        SSCTLLoss()(FEATURES, LABELS[:5], LABELS[:5] > 0)
    with pytest.raises(TypeError, match=r"expected whole labels, got float32 \[6\]"):
        SupConLoss()(FEATURES, LABELS.float())
    with pytest.raises(TypeError, match="labels to be a tensor, got list"):
        SupConLoss()(FEATURES, [0, 1, 0, 2, 1, 2])  # type: ignore[arg-type]
    assert float(SupConLoss()(FEATURES[:0], mask=torch.zeros(0, 0))) == 0
    with pytest.raises(ValueError, match=r"expected mask \[6, 6\]"):
        SupConLoss()(FEATURES, mask=torch.eye(5))
    for odd in (0.5, float("nan"), 2.0):
        with pytest.raises(ValueError, match="a mask of 0 and 1, got other values: weighted"):
            SupConLoss()(FEATURES, mask=odd * torch.eye(6))
    for labels in ([0, 1, 0, 2, 1, 2], None):
        with pytest.raises(TypeError, match="SSCTLLoss: expected labels to be a tensor"):
            SSCTLLoss()(FEATURES, labels, LABELS > 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="SSCTLLoss: expected clean to be a tensor, got list"):
        SSCTLLoss()(FEATURES, LABELS, [True] * 6)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"SSCTLLoss: expected labels \[6\]"):
        SSCTLLoss()(FEATURES, LABELS[0], LABELS > 0)
    for temperature in ([0.1], 1j):
        with pytest.raises(TypeError, match="expected temperature to be a number"):
            SupConLoss(temperature)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"process_group of torch\.distributed .*got 'world'"):
        supcon_loss(FEATURES[:, 0], LABELS, process_group="world")  # type: ignore[arg-type]
    for module in (SupConLoss, SimCLRLoss, SSCTLLoss):  # when it is made, not in the first step
        with pytest.raises(TypeError, match="got 'world'"):
            module(process_group="world")
    chain = torch.eye(6)
    chain[0, 1] = chain[1, 0] = chain[1, 2] = chain[2, 1] = 1
    with pytest.raises(ValueError, match="sorts the samples into classes"):
        SupConLoss()(FEATURES, mask=chain)


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (SupConLoss(0.1), (LABELS,)),
        (SupConLoss(0.1), ()),
        (SimCLRLoss(), ()),
        (SSCTLLoss(), (LABELS, LABELS != 1)),
    ],
)
def test_a_module_is_one_graph(loss: torch.nn.Module, arguments: tuple[Tensor, ...]) -> None:
    rows = FEATURES.clone().requires_grad_(), FEATURES.clone().requires_grad_()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    made, wanted = compiled(rows[0], *arguments), loss(rows[1], *arguments)
    torch.testing.assert_close(made, wanted)
    made.backward()
    wanted.backward()
    torch.testing.assert_close(rows[0].grad, rows[1].grad)
