"""The values of supcon_loss, on each device, against its float64 reference."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import reference, supcon_loss

Loss = Callable[..., Tensor]
# Aligned, ragged rows, ragged width, a row in several chunks on a GPU.
SHAPES = [(128, 128), (124, 128), (124, 123), (150, 300), (3, 1)]
# More tiles than one of each size, an odd number of tiles: the CPU's tournament.
LONG = [(507, 33), (1100, 40), (1300, 7)]
SEVERAL = [0.01, 0.07, 0.5, 10.0]


def random(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


def labels(n: int, classes: int = 10, seed: int = 0) -> Tensor:
    return torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))


def clustered(n: int, width: int, spread: float) -> tuple[Tensor, Tensor]:
    """Rows about ten centres, and the number of each row's centre."""
    group = labels(n)
    return random(10, width, seed=1)[group] + spread * random(n, width), group


def eager(z: Tensor, group: Tensor, temperature: float) -> Tensor:
    """The usual way in z's own dtype: normalise, multiply, subtract the largest."""
    unit = F.normalize(z, dim=1)
    s = unit @ unit.T / temperature
    s = s - s.max(1, keepdim=True).values.detach()
    own = torch.eye(len(z), dtype=torch.bool)
    log_p = s - s.exp().masked_fill(own, 0).sum(1, keepdim=True).log()
    alike = reference.same_group(group)
    return -((log_p * alike).sum(1) / alike.sum(1)).mean()


@pytest.fixture
def loss(device: str) -> Loss:
    """supcon_loss of tensors that come from the CPU, run on a device."""

    def on_device(z: Tensor, group: Tensor, *how: float) -> Tensor:
        return supcon_loss(z.to(device), group.to(device), *how).cpu()

    return on_device


def value_and_slope(
    function: Loss, z: Tensor, group: Tensor, temperature: float, factor: float = 1
) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    loss = function(z, group, temperature)
    (slope,) = torch.autograd.grad(loss, z, torch.tensor(factor, dtype=loss.dtype))
    return loss.detach(), slope


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def check_against_float64(loss: Loss, shape: tuple[int, int], temperature: float) -> None:
    z, group = random(*shape).float(), labels(shape[0], max(2, shape[0] // 30))
    value, slope = value_and_slope(loss, z, group, temperature, 1.7)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature, 1.7)
    assert value.dtype == torch.float32
    assert slope.dtype == torch.float32
    # A loss is a sum of exponents: what float32 rounds of s / t stays in it.
    assert float(value) == pytest.approx(float(exact), rel=1e-6, abs=1e-6 / temperature)
    if shape[1] == 1:  # unit rows of one number do not turn
        assert float(slope.abs().max()) <= 1e-6
        return
    plain = value_and_slope(reference.supcon_loss, z, group, temperature, 1.7)[1]
    assert error(slope, wanted) <= 1.5 * error(plain, wanted) + 1e-6


@pytest.mark.parametrize("temperature", SEVERAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradient_against_float64(
    shape: tuple[int, int], temperature: float, loss: Loss
) -> None:
    check_against_float64(loss, shape, temperature)


@pytest.mark.parametrize("temperature", SEVERAL)
@pytest.mark.parametrize("shape", LONG)
def test_many_tiles_against_float64(shape: tuple[int, int], temperature: float) -> None:
    check_against_float64(supcon_loss, shape, temperature)


@pytest.mark.parametrize("spread", [3.0, 1.0, 0.3, 0.05])
def test_float32_gradient_is_as_good_as_eager(spread: float, loss: Loss) -> None:
    z, group = clustered(300, 128, spread)
    exact = value_and_slope(reference.supcon_loss, z, group, 0.1)[1]
    found = value_and_slope(loss, z.float(), group, 0.1)[1]
    plain = value_and_slope(eager, z.float(), group, 0.1)[1]
    assert error(found, exact) <= 1.5 * error(plain, exact) + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_16_bit_gradient_has_a_tenth_of_the_error_of_eager(
    temperature: float, spread: float, dtype: torch.dtype, loss: Loss
) -> None:
    z, group = clustered(300, 128, spread)
    z = z.to(dtype)
    # Scaled as a GradScaler does: float16 has no numbers for gradients of 1e-8.
    scale = 2.0**12 if temperature == 0.1 else 2.0**9
    exact = value_and_slope(reference.supcon_loss, z.double(), group, temperature, scale)[1]
    value, found = value_and_slope(loss, z, group, temperature, scale)
    plain = value_and_slope(eager, z, group, temperature, scale)[1]
    assert found.dtype == dtype
    assert value.dtype == torch.float32
    # Eager may overflow in float16 at small temperatures.
    assert error(found, exact) <= (
        error(plain, exact) / 10 if bool(plain.isfinite().all()) else 5e-4
    )


def test_base_temperature_scales(loss: Loss) -> None:
    z, group = random(40, 8).float(), labels(40, 3)
    value = loss(z, group, 0.1)
    assert float(loss(z, group, 0.1, 0.07)) == pytest.approx(float(value) * 0.1 / 0.07)


def test_gradcheck_of_the_reference() -> None:
    z, group = random(12, 5).requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 0, 4, 4, 5])
    assert torch.autograd.gradcheck(
        lambda z: reference.supcon_loss(z, group, 0.3, 0.07), z, atol=1e-6
    )


def test_by_hand(loss: Loss) -> None:
    # Two views of two orthogonal samples: s is 1 for the positive and 0 for both others.
    z, group = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    wanted = math.log(math.exp(2.0) + 2) - 2.0
    assert float(loss(z, group, 0.5)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_one_and_two_rows(n: int, loss: Loss) -> None:
    z = random(n, 5).float().requires_grad_()
    value = loss(z, torch.zeros(n, dtype=torch.int64))
    value.backward()
    assert abs(float(value.detach())) <= 1e-6  # nothing to tell a positive from
    assert z.grad is not None
    assert z.grad.shape == (n, 5)
    assert not n or float(z.grad.abs().max()) <= 1e-6  # terms that cancel, rounded


def test_anchors_without_a_positive_do_not_count(loss: Loss) -> None:
    z = random(64, 16).float()
    group = torch.arange(64)
    value, slope = value_and_slope(loss, z, group, 0.1)
    assert float(value) == 0
    assert torch.equal(slope, torch.zeros_like(z))
    group[:6] = torch.tensor([0, 0, 0, 1, 1, 2])
    value, slope = value_and_slope(loss, z, group, 0.1)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, 0.1)
    assert float(value) == pytest.approx(float(exact), rel=1e-6)
    assert error(slope, wanted) <= 1e-6


@pytest.mark.parametrize("temperature", SEVERAL)
def test_equal_rows_and_rows_of_zeros(temperature: float, loss: Loss) -> None:
    group = labels(70, 4)
    for z in (torch.ones(70, 16), torch.zeros(70, 16)):
        value, slope = value_and_slope(loss, z, group, temperature)
        assert float(value) == pytest.approx(math.log(69), rel=1e-5)
        assert float(slope.norm()) <= 1e-5 / temperature
    z = random(70, 16).float()
    z[[3, 40]] = 0
    value, slope = value_and_slope(loss, z, group, temperature)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature)
    assert float(value) == pytest.approx(float(exact), rel=1e-5)
    assert torch.equal(slope[[3, 40]], torch.zeros(2, 16))
    plain = value_and_slope(reference.supcon_loss, z, group, temperature)[1]
    assert error(slope, wanted) <= 1.5 * error(plain, wanted) + 1e-6


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_length_of_rows_does_not_matter(factor: float, loss: Loss) -> None:
    z, group = random(50, 16).float(), labels(50, 4)
    value, slope = value_and_slope(loss, z, group, 0.1)
    longer, flatter = value_and_slope(loss, factor * z, group, 0.1)
    assert float(longer) == pytest.approx(float(value), rel=1e-5)
    assert error(factor * flatter.double(), slope.double()) <= 1e-5


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("payload", [0x7FC00000, 0x7FC00001, -1, 0x7F800000, -0x800000])
def test_nan_and_infinity_are_not_lost(temperature: float, payload: int, loss: Loss) -> None:
    z, group = random(40, 8).float(), labels(40, 3)
    z[5, 1] = torch.tensor(payload, dtype=torch.int32).view(torch.float32)
    group[5] = 77  # even in a row without a positive
    value, slope = value_and_slope(loss, z, group, temperature)
    assert math.isnan(float(value))
    assert bool(slope.isnan().any())


@pytest.mark.parametrize("n", [31, 32, 33, 129, 300])
@pytest.mark.parametrize("width", [1, 2, 16])
@pytest.mark.parametrize("temperature", [1e-3, 0.005, 0.0112, 0.0115, 0.012, 0.02])
def test_small_temperatures_beside_rows_without_a_positive(
    n: int, width: int, temperature: float, loss: Loss
) -> None:
    z, group = random(n, width).float(), labels(n, max(2, n // 3))
    group[: n // 8] = torch.arange(1000, 1000 + n // 8)
    value, slope = value_and_slope(loss, z, group, temperature)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature)
    assert float(value) == pytest.approx(float(exact), rel=1e-5, abs=1e-6 / temperature)
    assert bool(slope.isfinite().all())
    if width > 1:
        plain = value_and_slope(reference.supcon_loss, z, group, temperature)[1]
        assert error(slope, wanted) <= 1.5 * error(plain, wanted) + 1e-6


@pytest.mark.parametrize("temperature", [0.01, 0.0101, 0.0105, 0.011, 0.0117, 0.0126])
@pytest.mark.parametrize(("n", "width"), [(1000, 16), (300, 128), (700, 64)])
@pytest.mark.parametrize("spread", [None, 0.05])
def test_gradients_at_small_temperatures_are_as_good_as_eager(
    temperature: float, n: int, width: int, spread: float | None, loss: Loss
) -> None:
    z, group = clustered(n, width, spread or 1.0)
    z = (random(n, width) if spread is None else z).float()
    exact = value_and_slope(reference.supcon_loss, z.double(), group, temperature)[1]
    plain = value_and_slope(eager, z, group, temperature)[1]
    ours = value_and_slope(loss, z, group, temperature)[1]
    assert error(ours, exact) <= 1.5 * error(plain, exact) + 1e-6


def test_what_rounding_takes_from_large_exponents_is_given_back(loss: Loss) -> None:
    # Exponents of 1,000: eager in float32 is off by 1e-5, so its error bounds nothing here.
    z, group = random(33, 16).float(), labels(33, 11)
    exact = value_and_slope(reference.supcon_loss, z.double(), group, 1e-3)[1]
    assert error(value_and_slope(loss, z, group, 1e-3)[1], exact) <= 1e-6


@pytest.mark.parametrize(("temperature", "base"), [(1 / 84, None), (1e20, 1.0), (1e30, 1.0)])
def test_extreme_temperatures_keep_the_gradient(
    temperature: float, base: float | None, loss: Loss
) -> None:
    z, group = torch.tensor([[1.0, 0.2], [-1.0, -0.25], [0.3, 1.0]]), torch.tensor([0, 0, 1])

    def slope(loss: Callable[..., Tensor], z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(loss(z, group, temperature, base), z)[0]

    exact = slope(reference.supcon_loss, z.double())
    assert error(slope(loss, z), exact) <= 1e-4


def test_rows_need_not_lie_together_and_groups_may_be_any_numbers(loss: Loss) -> None:
    wide, group = random(60, 40).float(), labels(60, 4)
    z = wide[:, ::2]
    value = loss(z, group)
    assert torch.equal(loss(z.contiguous(), group), value)
    assert torch.equal(loss(z, torch.stack([group, group], 1)[:, 0]), value)
    far = torch.tensor([-(2**62), 5, 2**62, -1])
    assert torch.equal(loss(z, far[group]), value)
    assert float(loss(wide.T[:, ::3], labels(40, 3))) > 0
