from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fctfast.ops import feature_distance, reference

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Samples, features; 60 are seven and a half GPU vectors in 16 bits.
SHAPES = [(256, 512), (252, 507), (251, 123), (3, 1), (2, 16), (1, 4099), (5, 60)]
# The last five are shared out over the GPU's blocks: 49 pixels a lane, 8 x 8 in vectors, a channel
# in several pieces (vectors or not, the last row's end on no 16 bytes), many small channels.
MAPS = [
    (64, 128, 4, 4), (63, 123, 7, 5), (5, 16, 1, 1), (2, 3, 33, 31), (3, 24, 30, 20),
    (3, 301, 7, 7), (2, 264, 8, 8), (1, 2, 51, 49), (1, 2, 52, 48), (2, 1500, 1, 2),
]  # fmt: skip
OP = torch.ops.fctfast.feature_distance
# One float32 rounding of a sum held in 32 lanes: a few units of 2^-24.
BOUND = 1e-6


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_vectors_against_float64(
    shape: tuple[int, int],
    draws: int,
    reduction: str,
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    features = random((1 + draws) * shape[0], shape[1], dtype=dtype)
    ours = feature_distance(features.to(device), draws, reduction).cpu()
    assert ours.shape == ((shape[0],) if draws == 1 else (draws, shape[0]))
    assert ours.dtype == torch.float32
    plain = reference.feature_distance(features.float(), draws, reduction)
    exact = reference.feature_distance(features.double(), draws, reduction)
    assert_close_to_reference(ours, plain, exact, BOUND)


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", MAPS)
def test_maps_are_pooled_and_both_layouts_agree(
    shape: tuple[int, int, int, int],
    channels_last: bool,
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    features = random(2 * shape[0], *shape[1:], dtype=dtype)
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last)
    ours = feature_distance(features.to(device), 1, "mean").cpu()
    exact = reference.feature_distance(features.double(), 1, "mean")
    wide = dtype == torch.float64
    plain = exact if wide else reference.feature_distance(features.float(), 1, "mean")
    assert_close_to_reference(ours, plain, exact, 1e-14 if wide else BOUND)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(40,), (150, 7, 7), (300, 4, 4), (2, 50, 49)])
def test_the_bits_of_a_distance_depend_on_its_two_rows_alone(
    shape: tuple[int, ...], channels_last: bool, dtype: torch.dtype, device: str
) -> None:
    features = random(7, 3, *shape, dtype=dtype)  # six draws of three samples

    def distance(part: Tensor, draws: int) -> Tensor:
        rows = part.flatten(0, 1)
        if channels_last and len(shape) == 3:
            rows = rows.contiguous(memory_format=torch.channels_last)
        return feature_distance(rows.to(device), draws).cpu()

    together = distance(features, 6)
    for sample, draw in ((0, 0), (1, 3), (2, 5)):
        pair = features[[0, draw + 1], sample : sample + 1]
        assert torch.equal(distance(pair, 1), together[draw, sample : sample + 1])


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
@pytest.mark.parametrize("channels_last", [False, True])
# 63 pixels: more than a warp of the GPU writes at once. 24 channels of 300 pixels: several lanes
# and warps to each in either layout.
@pytest.mark.parametrize("shape", [(12, 37), (12, 16, 3, 5), (12, 3, 9, 7), (12, 24, 20, 15)])
def test_gradient_with_a_random_upstream(
    shape: tuple[int, ...],
    channels_last: bool,
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    leaf = random(*shape, dtype=dtype)
    if channels_last and leaf.dim() == 4:
        leaf = leaf.contiguous(memory_format=torch.channels_last)
    upstream = random(2, 4, seed=1)

    def gradient(function: Callable[..., Tensor], x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        distance = function(x, 2)
        return torch.autograd.grad(distance, x, upstream.to(distance))[0].cpu()

    ours = gradient(feature_distance, leaf.to(device))
    assert ours.dtype == dtype
    exact = gradient(reference.feature_distance, leaf.double())
    # Held in float32 and rounded once; float64 stays what it is.
    wide = leaf if dtype == torch.float64 else leaf.float()
    plain = gradient(reference.feature_distance, wide).to(dtype)
    assert_close_to_reference(ours, plain, exact, 1e-12 if dtype == torch.float64 else BOUND)


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
@pytest.mark.parametrize("shape", [(40,), (60, 5, 5)])
def test_more_draws_than_a_gpu_tile_of_four(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    device: str,
    assert_close_to_reference: Callable[..., None],
) -> None:
    features = random(7 * 5, *shape, dtype=dtype)
    ours = feature_distance(features.to(device), 6).cpu()
    exact = reference.feature_distance(features.double(), 6)
    plain = exact if dtype == torch.float64 else reference.feature_distance(features.float(), 6)
    assert_close_to_reference(ours, plain, exact, 1e-14 if dtype == torch.float64 else BOUND)


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 2, 2)])
def test_gradcheck(shape: tuple[int, ...], device: str) -> None:
    features = random(*shape, dtype=torch.float64).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: feature_distance(f, 2, "mean"), features)


def test_a_second_derivative_is_refused_instead_of_dropped() -> None:
    features = random(6, 5).requires_grad_()
    (slope,) = torch.autograd.grad(feature_distance(features, 2).sum(), features, create_graph=True)
    with pytest.raises(NotImplementedError, match="feature_distance is differentiable once"):
        slope.square().sum().backward()


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_no_one_and_two_samples(samples: int, device: str) -> None:
    features = random(3 * samples, 9).to(device).requires_grad_()
    distance = feature_distance(features, 2)
    assert distance.shape == (2, samples)
    distance.sum().backward()
    assert features.grad is not None
    assert features.grad.shape == features.shape


def test_non_contiguous_rows(device: str) -> None:
    wide = random(8, 40).to(device)
    assert torch.equal(feature_distance(wide[:, ::2]), feature_distance(wide[:, ::2].contiguous()))
    maps = random(4, 6, 5, 3).to(device).transpose(2, 3)
    assert torch.equal(feature_distance(maps), feature_distance(maps.contiguous()))


def test_equal_rows_are_exactly_zero_and_nan_stays(device: str) -> None:
    row = random(5, 33).to(device)
    assert torch.equal(feature_distance(torch.cat([row, row])).cpu(), torch.zeros(5))
    row[2, 1] = float("nan")
    assert feature_distance(torch.cat([row, row])).isnan().cpu().tolist() == [0, 0, 1, 0, 0]


def test_half_widens_exactly_for_every_bit_pattern() -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        values = bits.view(dtype)
        finite = values[values.isfinite() & (values.abs() < 2**60)].unsqueeze(1)
        distance = feature_distance(torch.cat([finite, torch.zeros_like(finite)]))
        assert torch.equal(distance, finite[:, 0].float().square())


def test_half_gradient_rounds_to_nearest_even_for_every_exponent() -> None:
    made = torch.Generator().manual_seed(0)
    wanted = torch.randn(20_000, 1, generator=made) * torch.logspace(-9, 4.7, 20_000)[:, None]
    for dtype in (torch.float16, torch.bfloat16):
        # gradient of |u - 0|^2 with u = 1/2 is the upstream itself
        features = torch.cat([torch.full_like(wanted, 0.5), torch.zeros_like(wanted)]).to(dtype)
        features.requires_grad_()
        (gradient,) = torch.autograd.grad(feature_distance(features), features, wanted[:, 0])
        assert torch.equal(gradient[:20_000], wanted.to(dtype))


def test_same_bits_in_20_runs_and_for_every_thread_count() -> None:
    features = random(300, 123, 3, 3).requires_grad_()
    before = torch.get_num_threads()
    results = []
    try:
        for run in range(20):
            torch.set_num_threads(1 + run % 4)
            distance = feature_distance(features, 2)
            (gradient,) = torch.autograd.grad(distance.sum(), features)
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
from fctfast.ops import feature_distance, library_status
made = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
layouts = (torch.contiguous_format, torch.channels_last)
cases = [((9, 123), layouts[0])]
cases += [((9, 37, *size), layout) for size in ((5, 3), (7, 7)) for layout in layouts]
for shape, layout in cases:
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        x = torch.randn(shape, generator=made).to(dtype).contiguous(memory_format=layout)
        distance = feature_distance(x.requires_grad_(), 2)
        distance.sum().backward()
        for t in (distance.detach(), x.grad):
            digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
print(library_status().instruction_set, digest.hexdigest())
"""
    name, digest = run_with_isa(code, isa).split()
    assert name == isa
    assert digest == run_with_isa(code, "baseline").split()[1]


def test_opcheck_and_compile() -> None:
    for shape in ((6, 5), (6, 3, 2, 2)):
        features = random(*shape).requires_grad_()
        torch.library.opcheck(OP, (features, 2, True))
    channels_last = random(6, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    torch.library.opcheck(OP, (channels_last.requires_grad_(), 1, False))
    # A sequence's features as a map of width 1: torch counts it as channels_last.
    sequence = random(4, 5, 8).permute(0, 2, 1).unsqueeze(-1)
    torch.library.opcheck(OP, (sequence.requires_grad_(), 1, False))
    compiled = torch.compile(
        lambda f: feature_distance(f.relu(), 2).log1p().sum(), fullgraph=True, backend="inductor"
    )
    x, y = random(6, 40).requires_grad_(), random(6, 40).requires_grad_()
    compiled(x).backward()
    feature_distance(y.relu(), 2).log1p().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1.0],), TypeError, "expected features to be a tensor, got list"),
        ((torch.zeros(4, 2, dtype=torch.int64),), TypeError, "expected floating features"),
        ((torch.zeros(4, 2, 2),), ValueError, r"\[\(1\+K\)B, D, h, w\], got float32 \[4, 2, 2\]"),
        ((torch.zeros(5, 2),), ValueError, r"\(1 \+ draws\) \* B rows .* got draws=1"),
        ((torch.zeros(4, 2), 0), ValueError, "draws >= 1, got draws=0"),
        ((torch.zeros(4, 0),), ValueError, "at least one feature a row"),
        ((torch.zeros(4, 2), 1, "max"), ValueError, "reduction='sum' or 'mean', got 'max'"),
    ],
)
def test_errors_teach(arguments: tuple[object, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        feature_distance(*arguments)  # type: ignore[arg-type]
