from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fctfast.ops import fct_views, reference, sample_rotate_affine, warp_distance

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = [(16, 3, 32, 32), (15, 5, 33, 47), (7, 1, 5, 123), (2, 64, 8, 8), (1, 2, 1, 1)]
SHAPES += [(2, 3, 8, 10), (2, 3, 6, 7)]  # GPU vectors over a row's end; half a vector too many
OP = torch.ops.fctfast.warp_distance
BOUND = 2e-6


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype)


def tau(x: Tensor, draws: int | range = 0) -> Tensor:
    size = (x.shape[2], x.shape[3])
    return sample_rotate_affine(torch.arange(x.shape[0]), 0, draws, 180.0, (0.2, 0.2), size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_against_float64(
    shape: tuple[int, int, int, int],
    reduction: str,
    interpolation: str,
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    x = random(*shape, dtype=dtype)
    params = tau(x, range(2))
    fill = [0.1 * c for c in range(shape[1])]
    options = {"interpolation": interpolation, "fill": fill, "reduction": reduction}
    ours = warp_distance(x.to(device), params, **options).cpu()  # type: ignore[arg-type]
    assert ours.shape == (2, shape[0])
    assert ours.dtype == torch.float32
    exact = reference.warp_distance(x.double(), params, **options)  # type: ignore[arg-type]
    plain = reference.warp_distance(x.float(), params, **options)  # type: ignore[arg-type]
    assert_close_to_reference(ours, plain, exact, BOUND)


def test_a_second_derivative_is_refused_instead_of_dropped() -> None:
    x = random(2, 3, 8, 8).requires_grad_()
    (slope,) = torch.autograd.grad(warp_distance(x, tau(x)).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="warp_distance is differentiable once"):
        slope.square().sum().backward()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((float("nan"), 0.0, 0.0), "finite degrees"),
        ((float("inf"), 0.0, 0.0), "finite degrees"),
        ((0.0, float("nan"), 0.0), "finite degrees and shifts"),
        ((0.0, 0.0, 1e9), "shifts of at most"),
        ((0.0, 0.5, 0.0), "whole-pixel shifts"),
    ],
)
def test_impossible_params_are_refused(row: tuple[float, float, float], message: str) -> None:
    x = random(1, 3, 8, 8)
    with pytest.raises(RuntimeError, match=message):
        warp_distance(x, torch.tensor([row]))
    if message == "whole-pixel shifts":
        warp_distance(x, torch.tensor([row]), interpolation="bilinear")


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradient_with_a_random_upstream(
    interpolation: str,
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    leaf = random(5, 3, 17, 21, dtype=dtype)
    params, upstream = tau(leaf, range(2)), random(2, 5, seed=1)

    def gradient(function: Callable[..., Tensor], x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        distance = function(x, params, interpolation=interpolation, fill=0.3)
        return torch.autograd.grad(distance, x, upstream.to(distance))[0].cpu()

    ours = gradient(warp_distance, leaf.to(device))
    assert ours.dtype == dtype
    exact = gradient(reference.warp_distance, leaf.double())
    plain = gradient(reference.warp_distance, leaf.float()).to(dtype)
    # float64: positions are exact to 2^-33 a step.
    assert_close_to_reference(ours, plain, exact, 1e-7 if dtype == torch.float64 else BOUND)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_an_infinity_spreads_as_in_the_reference(interpolation: str, device: str) -> None:
    x = torch.ones(1, 1, 6, 6)
    x[0, 0, 2, 3] = float("inf")
    params = torch.tensor([[0.0, 1.0, 0.0]])  # taps of weight 0 touch it

    def gradient(function: Callable[..., Tensor], leaf: Tensor) -> Tensor:
        leaf = leaf.detach().requires_grad_()
        distance = function(leaf, params, interpolation=interpolation)
        return torch.autograd.grad(distance.sum(), leaf)[0].cpu()

    ours, theirs = gradient(warp_distance, x.to(device)), gradient(reference.warp_distance, x)
    assert torch.equal(ours.isfinite(), theirs.isfinite())
    assert torch.equal(ours.isnan(), theirs.isnan())


@pytest.mark.parametrize("size", [(3, 32767), (32767, 3)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradient_at_the_longest_side(
    interpolation: str, size: tuple[int, int], device: str
) -> None:
    # A GPU finds by float32 where a pixel's takers lie: here it errs most, and must miss none.
    x = random(4, 1, *size, dtype=torch.float64)
    angles, shifts = (0.003, 179.998, -0.0011, 180.0), (0.0, 3.0, 0.0, -2.0)
    rows = [
        (a, s, 0.0) if size[1] > 3 else (a, 0.0, s) for a, s in zip(angles, shifts, strict=True)
    ]
    params = torch.tensor(rows)

    def gradient(function: Callable[..., Tensor], leaf: Tensor) -> Tensor:
        leaf = leaf.detach().requires_grad_()
        distance = function(leaf, params, interpolation=interpolation)
        return torch.autograd.grad(distance.sum(), leaf)[0].cpu()

    ours = gradient(warp_distance, x.to(device))
    exact = gradient(reference.warp_distance, x)
    # A missed taker is off by about one. 32.32 coefficients are exact to 2^-33 a step, 4e-6 of a
    # pixel at the far end, which a gradient takes tenfold.
    bound = 1e-12 if interpolation == "nearest" else 2e-4
    assert float((ours - exact).abs().max()) < bound


@pytest.mark.parametrize("channels", [6, 18])  # past a GPU tile of 4, past 16 fills as arguments
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradient_of_many_channels_with_a_fill_each(
    interpolation: str, channels: int, device: str
) -> None:
    leaf = random(3, channels, 7, 9, dtype=torch.float64)
    params, upstream = tau(leaf, range(2)), random(2, 3, seed=1, dtype=torch.float64)
    fill = [0.5 - 0.1 * c for c in range(channels)]

    def gradient(function: Callable[..., Tensor], x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        distance = function(x, params, interpolation=interpolation, fill=fill)
        return torch.autograd.grad(distance, x, upstream.to(distance))[0].cpu()

    exact = gradient(reference.warp_distance, leaf)
    # float64: positions are exact to 2^-33 a step.
    torch.testing.assert_close(gradient(warp_distance, leaf.to(device)), exact, rtol=0, atol=1e-6)


# Several blocks of the GPU share a sample: its pixels, or its channels where planes are small.
@pytest.mark.parametrize("shape", [(3, 2, 64, 80), (3, 70, 7, 9)])
def test_large_float64_maps_are_summed_in_float64(
    shape: tuple[int, int, int, int], device: str
) -> None:
    x = random(*shape, dtype=torch.float64)
    distance = warp_distance(x.to(device), tau(x, range(2)), fill=0.3).cpu()
    exact = reference.warp_distance(x, tau(x, range(2)), fill=0.3)
    torch.testing.assert_close(distance, exact, rtol=1e-13, atol=0)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_gradcheck(interpolation: str, device: str) -> None:
    x = random(2, 2, 5, 6, dtype=torch.float64).to(device).requires_grad_()
    params = tau(x, range(2))
    assert torch.autograd.gradcheck(
        lambda t: warp_distance(t, params, interpolation=interpolation, fill=0.2), x
    )


def test_is_the_distance_between_fct_views(device: str) -> None:
    made = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=made)
    params = sample_rotate_affine(torch.arange(6), 0, 0, 180.0, (0.2, 0.2), (32, 32))
    x, view = fct_views(images, params, 0.5, 0.25).double().chunk(2)
    fill = (0 - 0.5) / 0.25
    distance = warp_distance(x.to(device), params, fill=fill).cpu()
    torch.testing.assert_close(distance, (x - view).square().sum((1, 2, 3)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_no_one_and_two_samples(samples: int, device: str) -> None:
    x = random(samples, 2, 9, 9).to(device).requires_grad_()
    distance = warp_distance(x, tau(x))
    assert distance.shape == (samples,)
    distance.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert warp_distance(x, torch.zeros(0, samples, 3)).shape == (0, samples)


def test_strides_do_not_matter(device: str) -> None:
    x = random(4, 6, 9, 7).to(device)
    expected = warp_distance(x, tau(x))
    assert torch.equal(
        warp_distance(x.contiguous(memory_format=torch.channels_last), tau(x)), expected
    )
    wide = torch.zeros(4, 6, 9, 14, device=device)
    wide[..., ::2] = x
    assert torch.equal(warp_distance(wide[..., ::2], tau(x)), expected)


def test_identity_is_exactly_zero(device: str) -> None:
    x = random(3, 4, 12, 12).to(device)
    for interpolation in ("nearest", "bilinear"):
        distance = warp_distance(x, torch.zeros(3, 3), interpolation=interpolation, fill=9.0)
        assert torch.equal(distance.cpu(), torch.zeros(3))


def test_same_bits_in_20_runs_and_for_every_thread_count() -> None:
    x = random(30, 5, 33, 31).requires_grad_()
    params = tau(x, range(2))
    before = torch.get_num_threads()
    results = []
    try:
        for run in range(20):
            torch.set_num_threads(1 + run % 4)
            distance = warp_distance(x, params, interpolation="bilinear")
            (gradient,) = torch.autograd.grad(distance.sum(), x)
            results.append((distance.detach(), gradient))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(d, results[0][0]) and torch.equal(g, results[0][1]) for d, g in results)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_bits(
    isa: str, run_with_isa: Callable[[str, str], str]
) -> None:
    code = """
import hashlib, torch
from fctfast.ops import sample_rotate_affine, warp_distance, library_status
made = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
params = sample_rotate_affine(torch.arange(3), 0, range(2), 180.0, (0.2, 0.2), (19, 37))
for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
    for interpolation in ("nearest", "bilinear"):
        x = torch.randn((3, 5, 19, 37), generator=made).to(dtype).requires_grad_()
        distance = warp_distance(x, params, interpolation=interpolation)
        distance.sum().backward()
        for t in (distance.detach(), x.grad):
            digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
print(library_status().instruction_set, digest.hexdigest())
"""
    name, digest = run_with_isa(code, isa).split()
    assert name == isa
    assert digest == run_with_isa(code, "baseline").split()[1]


def test_opcheck_and_compile() -> None:
    x = random(2, 3, 6, 5).requires_grad_()
    for bilinear in (False, True):
        words = torch.ops.fctfast.affine_coefficients(tau(x)[None], 6, 5, bilinear)
        torch.library.opcheck(OP, (x, words, [0.0, 0.1, 0.2], False))
    params = tau(x)
    compiled = torch.compile(
        lambda t: warp_distance(t.relu(), params).sum(), fullgraph=True, backend="aot_eager"
    )
    y = x.detach().clone().requires_grad_()
    compiled(x).backward()
    warp_distance(y.relu(), params).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": 3}, TypeError, "expected x to be a tensor, got int"),
        (
            {"x": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)},
            TypeError,
            "expected floating x, got uint8",
        ),
        ({"x": torch.zeros(2, 8, 8)}, ValueError, r"expected x \[B, C, H, W\]"),
        ({"params": torch.zeros(3, 3)}, ValueError, r"expected params \[2, 3\]"),
        ({"params": torch.zeros(2, 3).double()}, TypeError, "expected params float32"),
        ({"fill": (0.0, 1.0)}, ValueError, "expected fill of 3 values"),
        ({"interpolation": "area"}, ValueError, "interpolation='nearest' or 'bilinear'"),
        ({"reduction": "none"}, ValueError, "reduction='sum' or 'mean'"),
    ],
)
def test_errors_teach(change: dict[str, object], error: type[Exception], words: str) -> None:
    arguments: dict[str, object] = {"x": torch.zeros(2, 3, 8, 8), "params": torch.zeros(2, 3)}
    with pytest.raises(error, match=words):
        warp_distance(**{**arguments, **change})  # type: ignore[arg-type]
