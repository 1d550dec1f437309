"""What supcon_loss promises beside its values: bits, graphs, memory, own rows, errors."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fctfast.ops import supcon_loss

OP = torch.ops.fctfast.supcon_loss
BACK = torch.ops.fctfast.supcon_loss_backward


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def labels(n: int, classes: int = 10) -> Tensor:
    return torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(0))


def value_and_slope(
    function: Callable[..., Tensor], z: Tensor, group: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    loss = function(z, group, temperature)
    return loss.detach(), torch.autograd.grad(loss, z)[0]


def test_same_bits_in_20_runs_and_for_every_thread_count() -> None:
    before = torch.get_num_threads()
    for n, temperature in ((700, 0.1), (1300, 0.01)):
        z, group, results = random(n, 48), labels(n), []
        try:
            for run in range(20):
                torch.set_num_threads(1 + run % 4)
                results.append(value_and_slope(supcon_loss, z, group, temperature))
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(a, results[0][0]) for a, _ in results)
        assert all(torch.equal(b, results[0][1]) for _, b in results)


def test_the_graph_can_be_used_twice() -> None:
    z, group = random(40, 8).requires_grad_(), labels(40, 3)
    loss = supcon_loss(z, group)
    (first,) = torch.autograd.grad(loss, z, retain_graph=True)
    (second,) = torch.autograd.grad(2 * loss, z)
    torch.testing.assert_close(second, 2 * first)


def test_a_second_derivative_is_refused_instead_of_dropped() -> None:
    z = random(20, 8).requires_grad_()
    (slope,) = torch.autograd.grad(supcon_loss(z, labels(20, 3)), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="supcon_loss is differentiable once"):
        slope.square().sum().backward()


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_own_rows_against_all_are_parts_of_the_whole(temperature: float, device: str) -> None:
    check_own_rows(200, temperature, device)


@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_own_rows_in_several_tiles(temperature: float) -> None:
    check_own_rows(1300, temperature, "cpu")


def check_own_rows(n: int, temperature: float, device: str) -> None:
    z, group, grad = random(n, 20).to(device), labels(n), torch.tensor(1.0, device=device)
    group[:50] = torch.arange(100, 150)  # no anchors: the first parts have few of their own
    group = group.to(device)
    how = (temperature, 0.07, False)
    loss, statistics = OP(z, group, 0, n, *how)
    slope = BACK(grad, z, group, statistics, 0, n, *how)
    ends = [0, 1, 45, 45, n // 2, n]
    parts = [OP(z, group, a, b - a, *how) for a, b in itertools.pairwise(ends)]
    anchors = [(own[:, 1] > 0).sum() for _, own in parts]
    total = sum(part[0] * count for part, count in zip(parts, anchors, strict=True))
    assert float(total) == pytest.approx(float(loss) * (n - 50), rel=1e-6)
    joined = torch.cat([own for _, own in parts])
    torch.testing.assert_close(joined, statistics, rtol=1e-6, atol=1e-6)
    slopes = torch.cat(
        [BACK(grad, z, group, statistics, a, b - a, *how) for a, b in itertools.pairwise(ends)]
    )
    assert float((slopes - slope).norm()) <= 1e-6 * float(slope.norm())


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
    z, group = random(n, width).requires_grad_(), labels(n)
    gc.collect()
    with torch.profiler.profile(profile_memory=True) as seen:
        supcon_loss(z, group).backward()
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in seen.events())
    assert allocated <= 12 * n * width * 4  # two buffers each way, sums, the gradient
    assert 4 * n * n > 2 * allocated


def test_opcheck_and_compile() -> None:
    z = random(40, 8).requires_grad_()
    torch.library.opcheck(OP, (z, labels(40, 3), 0, 40, 0.1, 0.07, False))
    torch.library.opcheck(OP, (z.detach().bfloat16(), labels(40, 3), 5, 20, 0.1, 0.07, False))
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
        z, group = random(n, 8), labels(n, 3)
        torch.testing.assert_close(compiled(z, group), supcon_loss(z, group))
    assert graphs == 1


def test_autocast_takes_what_the_network_gives() -> None:
    layer = torch.nn.Linear(8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        z = layer(random(40, 8))
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
