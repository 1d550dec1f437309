"""A batch in parts has the gradient of one pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctfast.data import ImageSet
from fctfast.ops import supcon_loss
from fctfast.train import (
    Budget,
    FitSettings,
    SGDSettings,
    Stage,
    ViewSettings,
    backward_in_chunks,
    fit,
)


class Network(nn.Module):
    """A convolution, perhaps batch norm, features and outputs; no sample sees another one."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = norm
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(self.convolution(x)).relu().mean((2, 3))
        return features, self.head(features)


def gradients(network: nn.Module) -> list[Tensor]:
    made = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    return made


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("chunk", [7, 40, 100])
@pytest.mark.parametrize("views", [1, 2])
def test_gradient_is_that_of_one_pass(chunk: int, views: int) -> None:
    torch.manual_seed(0)
    network = Network(nn.GroupNorm(2, 8))
    images, labels = torch.randn(views, 40, 3, 8, 8), torch.arange(40) % 5
    rows = torch.randperm(40)

    def forward(some: Tensor) -> tuple[Tensor, Tensor]:
        features, outputs = network(images[:, some].flatten(0, 1))
        return features, outputs

    def loss(features: Tensor, outputs: Tensor) -> Tensor:
        # Both outputs and every pair of rows matter.
        return supcon_loss(outputs, labels[rows].repeat(views)) + features.square().mean().sqrt()

    one = loss(*forward(rows))
    one.backward()
    wanted = gradients(network)
    found = backward_in_chunks(network, forward, rows, loss, chunk=chunk, views=views)
    assert float(found) == pytest.approx(float(one.detach()), rel=1e-6)
    assert not found.requires_grad
    for ours, theirs in zip(gradients(network), wanted, strict=True):
        assert float((ours - theirs).norm()) <= 1e-6 * float(theirs.norm()) + 1e-8


def test_a_loss_that_reads_one_output_only() -> None:
    torch.manual_seed(0)
    network = Network(nn.Identity())
    images, labels = torch.randn(20, 3, 8, 8), torch.arange(20) % 5
    backward_in_chunks(
        network, lambda rows: network(images[rows]), torch.arange(20),
        lambda _, outputs: F.cross_entropy(outputs, labels), chunk=6,
    )  # fmt: skip
    found = gradients(network)
    F.cross_entropy(network(images)[1], labels).backward()
    for ours, theirs in zip(found, gradients(network), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_running_statistics_see_a_batch_once() -> None:
    torch.manual_seed(0)
    network = Network(nn.BatchNorm2d(8))
    twin = Network(nn.BatchNorm2d(8))
    twin.load_state_dict(network.state_dict())
    images, labels = torch.randn(20, 3, 8, 8), torch.arange(20) % 5
    backward_in_chunks(
        network, lambda rows: network(images[rows]), torch.arange(20),
        lambda _, outputs: F.cross_entropy(outputs, labels), chunk=10,
    )  # fmt: skip
    for part in (images[:10], images[10:]):
        twin(part)
    for (name, ours), theirs in zip(network.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    assert network.norm.momentum == 0.1


def test_a_last_part_of_one_row_joins_the_one_before_it() -> None:
    seen: list[int] = []

    def forward(rows: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(len(rows))
        made = rows.float()[:, None].requires_grad_()
        return made, made

    backward_in_chunks(nn.Identity(), forward, torch.arange(9), lambda f, _: f.sum(), chunk=4)
    assert seen == [4, 5, 4, 5]


class Attention(nn.Module):
    """Drops at random inside a layer that is not called dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 1, dropout=0.1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x[None], x[None], x[None])[0][0]
        return made


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), Attention()])
def test_layers_that_drop_at_random_are_refused(layer: nn.Module) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), layer)
    x = torch.randn(30, 2)

    def run() -> None:
        backward_in_chunks(
            network, lambda r: (network(x[r]),) * 2, torch.arange(30), lambda f, _: f.sum(),
            chunk=20,
        )  # fmt: skip

    with pytest.raises(ValueError, match="something in it draws at random"):
        run()
    network.eval()
    run()


def test_training_in_chunks_is_training_with_whole_batches(
    net: Callable[[], nn.Module], images: ImageSet
) -> None:
    def loss(_: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        return supcon_loss(outputs, labels)

    settings = FitSettings(batch_size=50, sgd=SGDSettings(lr=0.1), precision="float32")
    made = []
    for chunk in (None, 12):
        network = net()
        network.bn = nn.GroupNorm(2, 8)
        before = weights(network)
        stage = Stage("s-ctl", images, loss, Budget(3), ViewSettings(), chunk=chunk)
        numbers = {"mean": (0.5,) * 3, "std": (0.3,) * 3}
        fitted = fit(network, stage, settings=settings, **numbers, seed=1, device="cpu")
        assert [record["steps"] for record in fitted.history] == [1, 1, 1]
        made.append(weights(network) - before)
    assert float(made[0].norm()) > 0.01
    assert float((made[1] - made[0]).norm()) <= 1e-5 * float(made[0].norm())


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows: expected at least one"):
        backward_in_chunks(
            nn.Identity(), lambda r: (r, r), torch.arange(0), lambda f, _: f.sum(), chunk=2
        )


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        backward_in_chunks(
            nn.Identity(), lambda r: (r, r), torch.arange(3), lambda f, _: f.sum(), chunk=0
        )
