"""supcon_loss against its float64 reference, and what it promises beside."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import reference, supcon_loss

OP = torch.ops.fctfast.supcon_loss
# Aligned, ragged rows, ragged width, more tiles than one of each size, an odd number of tiles.
SHAPES = [(256, 128), (252, 128), (252, 123), (507, 33), (150, 300), (1100, 40), (1300, 7), (3, 1)]
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


def value_and_slope(
    function: Callable[..., Tensor], z: Tensor, group: Tensor, temperature: float, factor: float = 1
) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    loss = function(z, group, temperature)
    (slope,) = torch.autograd.grad(loss, z, torch.tensor(factor, dtype=loss.dtype))
    return loss.detach(), slope


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("temperature", SEVERAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradient_against_float64(shape: tuple[int, int], temperature: float) -> None:
    z, group = random(*shape).float(), labels(shape[0], max(2, shape[0] // 30))
    loss, slope = value_and_slope(supcon_loss, z, group, temperature, 1.7)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature, 1.7)
    assert loss.dtype == torch.float32
    assert slope.dtype == torch.float32
    # A loss is a sum of exponents: what float32 rounds of s / t stays in it.
    assert float(loss) == pytest.approx(float(exact), rel=1e-6, abs=1e-6 / temperature)
    if shape[1] == 1:  # unit rows of one number do not turn
        assert float(slope.abs().max()) <= 1e-6
        return
    plain = value_and_slope(reference.supcon_loss, z, group, temperature, 1.7)[1]
    assert error(slope, wanted) <= 1.5 * error(plain, wanted) + 1e-6


@pytest.mark.parametrize("spread", [3.0, 1.0, 0.3, 0.05])
def test_float32_gradient_is_as_good_as_eager(spread: float) -> None:
    z, group = clustered(600, 128, spread)
    exact = value_and_slope(reference.supcon_loss, z, group, 0.1)[1]
    found = value_and_slope(supcon_loss, z.float(), group, 0.1)[1]
    plain = value_and_slope(eager, z.float(), group, 0.1)[1]
    assert error(found, exact) <= 1.5 * error(plain, exact) + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [1.0, 0.3, 0.05])
def test_16_bit_gradient_has_a_tenth_of_the_error_of_eager(
    spread: float, dtype: torch.dtype
) -> None:
    z, group = clustered(600, 128, spread)
    z = z.to(dtype)
    # Scaled as a GradScaler does: float16 has no numbers for gradients of 1e-8.
    exact = value_and_slope(reference.supcon_loss, z.double(), group, 0.1, 2.0**12)[1]
    loss, found = value_and_slope(supcon_loss, z, group, 0.1, 2.0**12)
    plain = value_and_slope(eager, z, group, 0.1, 2.0**12)[1]
    assert found.dtype == dtype
    assert loss.dtype == torch.float32
    assert error(found, exact) <= error(plain, exact) / 10


def test_base_temperature_scales() -> None:
    z, group = random(40, 8).float(), labels(40, 3)
    loss = supcon_loss(z, group, 0.1)
    assert float(supcon_loss(z, group, 0.1, 0.07)) == pytest.approx(float(loss) * 0.1 / 0.07)


def test_gradcheck_of_the_reference() -> None:
    z, group = random(12, 5).requires_grad_(), torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 0, 4, 4, 5])
    assert torch.autograd.gradcheck(
        lambda z: reference.supcon_loss(z, group, 0.3, 0.07), z, atol=1e-6
    )


def test_by_hand() -> None:
    # Two views of two orthogonal samples: s is 1 for the positive and 0 for both others.
    z, group = torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1])
    wanted = math.log(math.exp(2.0) + 2) - 2.0
    assert float(supcon_loss(z, group, 0.5)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_no_one_and_two_rows(n: int) -> None:
    z = random(n, 5).float().requires_grad_()
    loss = supcon_loss(z, torch.zeros(n, dtype=torch.int64))
    loss.backward()
    assert abs(float(loss.detach())) <= 1e-6  # nothing to tell a positive from
    assert z.grad is not None
    assert z.grad.shape == (n, 5)
    assert float(z.grad.abs().sum()) <= 1e-6


def test_anchors_without_a_positive_do_not_count() -> None:
    z = random(64, 16).float()
    group = torch.arange(64)
    loss, slope = value_and_slope(supcon_loss, z, group, 0.1)
    assert float(loss) == 0
    assert torch.equal(slope, torch.zeros_like(z))
    group[:6] = torch.tensor([0, 0, 0, 1, 1, 2])
    loss, slope = value_and_slope(supcon_loss, z, group, 0.1)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, 0.1)
    assert float(loss) == pytest.approx(float(exact), rel=1e-6)
    assert error(slope, wanted) <= 1e-6


@pytest.mark.parametrize("temperature", SEVERAL)
def test_equal_rows_and_rows_of_zeros(temperature: float) -> None:
    group = labels(70, 4)
    for z in (torch.ones(70, 16), torch.zeros(70, 16)):
        loss, slope = value_and_slope(supcon_loss, z, group, temperature)
        assert float(loss) == pytest.approx(math.log(69), rel=1e-5)
        assert float(slope.norm()) <= 1e-5 / temperature
    z = random(70, 16).float()
    z[[3, 40]] = 0
    loss, slope = value_and_slope(supcon_loss, z, group, temperature)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature)
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)
    assert torch.equal(slope[[3, 40]], torch.zeros(2, 16))
    plain = value_and_slope(reference.supcon_loss, z, group, temperature)[1]
    assert error(slope, wanted) <= 1.5 * error(plain, wanted) + 1e-6


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_length_of_rows_does_not_matter(factor: float) -> None:
    z, group = random(50, 16).float(), labels(50, 4)
    loss, slope = value_and_slope(supcon_loss, z, group, 0.1)
    longer, flatter = value_and_slope(supcon_loss, factor * z, group, 0.1)
    assert float(longer) == pytest.approx(float(loss), rel=1e-5)
    assert error(factor * flatter.double(), slope.double()) <= 1e-5


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("payload", [0x7FC00000, 0x7FC00001, -1])
def test_nan_stays(temperature: float, payload: int) -> None:
    z, group = random(40, 8).float(), labels(40, 3)
    z[5, 1] = torch.tensor(payload, dtype=torch.int32).view(torch.float32)
    group[5] = 77  # even in a row without a positive
    loss, slope = value_and_slope(supcon_loss, z, group, temperature)
    assert math.isnan(float(loss))
    assert bool(slope.isnan().any())


@pytest.mark.parametrize("n", [31, 32, 33, 129, 300])
@pytest.mark.parametrize("width", [1, 2, 16])
@pytest.mark.parametrize("temperature", [1e-3, 0.005, 0.0112, 0.0115, 0.012, 0.02])
def test_small_temperatures_beside_rows_without_a_positive(
    n: int, width: int, temperature: float
) -> None:
    z, group = random(n, width).float(), labels(n, max(2, n // 3))
    group[: n // 8] = torch.arange(1000, 1000 + n // 8)
    loss, slope = value_and_slope(supcon_loss, z, group, temperature)
    exact, wanted = value_and_slope(reference.supcon_loss, z.double(), group, temperature)
    assert float(loss) == pytest.approx(float(exact), rel=1e-5, abs=1e-6 / temperature)
    assert bool(slope.isfinite().all())
    if width > 1:
        plain = value_and_slope(reference.supcon_loss, z, group, temperature)[1]
        # Exponents are rounded at their own size here, at their difference's there.
        assert error(slope, wanted) <= 6 * error(plain, wanted) + 1e-5


@pytest.mark.parametrize(("temperature", "base"), [(1 / 84, None), (1e20, 1.0), (1e30, 1.0)])
def test_extreme_temperatures_keep_the_gradient(temperature: float, base: float | None) -> None:
    z, group = torch.tensor([[1.0, 0.2], [-1.0, -0.25], [0.3, 1.0]]), torch.tensor([0, 0, 1])

    def slope(loss: Callable[..., Tensor], z: Tensor) -> Tensor:
        z = z.detach().requires_grad_()
        return torch.autograd.grad(loss(z, group, temperature, base), z)[0]

    exact = slope(reference.supcon_loss, z.double())
    assert error(slope(supcon_loss, z), exact) <= 1e-4


def test_rows_need_not_lie_together_and_groups_may_be_any_numbers() -> None:
    wide, group = random(60, 40).float(), labels(60, 4)
    z = wide[:, ::2]
    loss = supcon_loss(z, group)
    assert torch.equal(supcon_loss(z.contiguous(), group), loss)
    assert torch.equal(supcon_loss(z, torch.stack([group, group], 1)[:, 0]), loss)
    far = torch.tensor([-(2**62), 5, 2**62, -1])
    assert torch.equal(supcon_loss(z, far[group]), loss)
    assert float(supcon_loss(wide.T[:, ::3], labels(40, 3))) > 0


def test_same_bits_in_20_runs_and_for_every_thread_count() -> None:
    before = torch.get_num_threads()
    for n, temperature in ((700, 0.1), (1300, 0.01)):
        z, group, results = random(n, 48).float(), labels(n), []
        try:
            for run in range(20):
                torch.set_num_threads(1 + run % 4)
                results.append(value_and_slope(supcon_loss, z, group, temperature))
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(a, results[0][0]) for a, _ in results)
        assert all(torch.equal(b, results[0][1]) for _, b in results)


def test_the_graph_can_be_used_twice() -> None:
    z, group = random(40, 8).float().requires_grad_(), labels(40, 3)
    loss = supcon_loss(z, group)
    (first,) = torch.autograd.grad(loss, z, retain_graph=True)
    (second,) = torch.autograd.grad(2 * loss, z)
    torch.testing.assert_close(second, 2 * first)


def test_a_second_derivative_is_refused_instead_of_dropped() -> None:
    z = random(20, 8).float().requires_grad_()
    (slope,) = torch.autograd.grad(supcon_loss(z, labels(20, 3)), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="supcon_loss is differentiable once"):
        slope.square().sum().backward()


@pytest.mark.parametrize("n", [200, 1300])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_own_rows_against_all_are_parts_of_the_whole(n: int, temperature: float) -> None:
    z, group = random(n, 20).float(), labels(n)
    grad = torch.tensor(1.0)
    loss, log = OP(z, group, 0, n, temperature, 0.07)
    back = torch.ops.fctfast.supcon_loss_backward
    slope = back(grad, z, group, log, 0, n, temperature, 0.07)
    ends = [0, 1, 45, 45, n // 2, n]
    parts = [OP(z, group, a, b - a, temperature, 0.07) for a, b in itertools.pairwise(ends)]
    assert float(sum(part[0] for part in parts)) == pytest.approx(float(loss), rel=1e-6)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), log, rtol=1e-6, atol=1e-6)
    slopes = [
        back(grad, z, group, log, a, b - a, temperature, 0.07) for a, b in itertools.pairwise(ends)
    ]
    assert error(torch.cat(slopes), slope.double()) <= 1e-6


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set(isa: str, run_with_isa: Callable[[str, str], str]) -> None:
    code = """
import torch
from fctfast.ops import library_status, reference, supcon_loss
made = torch.Generator().manual_seed(0)
worst = 0.0
for n, width, temperature in ((300, 70, .1), (1100, 33, .1), (300, 70, .01)):
    z, group = torch.randn(n, width, generator=made), torch.arange(n) % 7
    slopes = []
    for loss, x in ((supcon_loss, z), (reference.supcon_loss, z.double())):
        x.requires_grad_()
        slopes += torch.autograd.grad(loss(x, group, temperature), x)
    worst = max(worst, float((slopes[0] - slopes[1]).norm() / slopes[1].norm()))
print(library_status().instruction_set, worst)
"""
    name, worst = run_with_isa(code, isa).split()
    assert name == isa
    assert float(worst) <= 5e-6


def test_memory_does_not_grow_with_the_square() -> None:
    # torch's own count of what is allocated beside z, its gradient and the loss.
    n, width = 4096, 128
    z, group = random(n, width).float().requires_grad_(), labels(n)
    gc.collect()
    with torch.profiler.profile(profile_memory=True) as seen:
        supcon_loss(z, group).backward()
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in seen.events())
    assert allocated <= 12 * n * width * 4  # two buffers each way, sums, the gradient
    assert 4 * n * n > 2 * allocated


def test_opcheck_and_compile() -> None:
    z = random(40, 8).float().requires_grad_()
    torch.library.opcheck(OP, (z, labels(40, 3), 0, 40, 0.1, 0.07))
    torch.library.opcheck(OP, (z.detach().bfloat16(), labels(40, 3), 5, 20, 0.1, 0.07))
    group = labels(40, 3)
    compiled = torch.compile(lambda z: supcon_loss(z.sin(), group) * 2, fullgraph=True)
    loss, slope = value_and_slope(lambda z, *_: compiled(z), z, group, 0.1)
    expected, wanted = value_and_slope(lambda z, *_: supcon_loss(z.sin(), group) * 2, z, group, 0.1)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(slope, wanted)


def test_one_compilation_serves_every_number_of_rows() -> None:
    graphs = 0

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(supcon_loss, backend=count, dynamic=True, fullgraph=True)
    for n in (40, 52, 64):
        z, group = random(n, 8).float(), labels(n, 3)
        torch.testing.assert_close(compiled(z, group), supcon_loss(z, group))
    assert graphs == 1


def test_autocast_takes_what_the_network_gives() -> None:
    layer = torch.nn.Linear(8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        z = layer(random(40, 8).float())
        loss = supcon_loss(z, labels(40, 3))
    loss.backward()
    assert z.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"z": [1.0]}, TypeError, "expected z to be a tensor, got list"),
        ({"group": [1]}, TypeError, "expected group to be a tensor, got list"),
        ({"z": torch.zeros(4, 2, dtype=torch.float64)}, TypeError, "reference.supcon_loss takes"),
        ({"group": torch.zeros(4)}, TypeError, "expected group int64, got float32"),
        ({"z": torch.zeros(4)}, ValueError, r"expected z of shape \[N, D\], got float32 \[4\]"),
        ({"z": torch.zeros(4, 0)}, ValueError, r"z of shape \[N, D\]"),
        ({"group": torch.zeros(3, dtype=torch.int64)}, ValueError, r"expected group \[4\]"),
        ({"temperature": 0.0}, ValueError, "expected temperature of at least 0.001, got 0.0"),
        ({"base_temperature": math.nan}, ValueError, "base_temperature above 0, got nan"),
    ],
)
def test_errors_teach(change: dict[str, object], kind: type[Exception], words: str) -> None:
    good = {"z": torch.zeros(4, 2), "group": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(kind, match=words):
        supcon_loss(**{**good, **change})  # type: ignore[arg-type]
