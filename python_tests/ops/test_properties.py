"""What holds of supcon_loss and contrastive_views whatever they are given, on drawn examples."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import torch

from fctfast.ops import contrastive_views, reference, sample_contrastive, supcon_loss
from fctfast.ops.sample_contrastive import COLUMNS

SEEDS = st.integers(0, 2**31)
EXAMPLES = hypothesis.settings(deadline=None, max_examples=40)


@hypothesis.given(
    rows=st.integers(2, 300), width=st.integers(1, 70), classes=st.integers(1, 12), seed=SEEDS,
    temperature=st.sampled_from([0.01, 0.1, 1.0]),
)  # fmt: skip
@EXAMPLES
def test_supcon_loss_is_the_references_whatever_the_order_of_the_rows(
    rows: int, width: int, classes: int, seed: int, temperature: float
) -> None:
    made = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, width, generator=made)
    group = torch.randint(0, classes, (rows,), generator=made)
    exact = z.double().requires_grad_()
    expected = reference.supcon_loss(exact, group, temperature)
    (slope,) = torch.autograd.grad(expected, exact)
    order = torch.randperm(rows, generator=made)
    for chosen in (torch.arange(rows), order):
        leaf = z[chosen].requires_grad_()
        loss = supcon_loss(leaf, group[chosen], temperature)
        (found,) = torch.autograd.grad(loss, leaf)
        scale = float(expected.detach().abs()) + 1
        assert abs(float(loss.detach()) - float(expected.detach())) <= 1e-5 * scale
        # An entry of S is off by some units of 6e-8, which 1 / t makes large.
        bound = 1e-5 / min(temperature, 1.0) * (float(slope.norm()) + 1)
        assert float((found.double() - slope[chosen]).norm()) <= bound


@hypothesis.given(
    batch=st.integers(1, 6), height=st.integers(2, 40), width=st.integers(2, 40),
    channels=st.sampled_from([1, 3]), seed=SEEDS, data=st.data(),
)  # fmt: skip
@EXAMPLES
def test_a_contrastive_view_depends_on_its_image_and_params_alone(
    batch: int, height: int, width: int, channels: int, seed: int, data: st.DataObject
) -> None:
    made = torch.Generator().manual_seed(seed)
    shape = (batch, height, width, channels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=made)
    params = sample_contrastive(torch.arange(batch), seed, 0, 1, (height, width))
    whole = contrastive_views(images, params, 0.5, 0.25)
    order = data.draw(st.permutations(range(batch)))
    assert torch.equal(contrastive_views(images[order], params[order], 0.5, 0.25), whole[order])
    mirrored = params.clone()
    mirrored[:, COLUMNS.index("flip")] = 1 - params[:, COLUMNS.index("flip")]
    assert torch.equal(contrastive_views(images, mirrored, 0.5, 0.25), whole.flip(3))
