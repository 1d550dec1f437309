"""What only a device can show; everything else the ops' own tests run there as well (`-m cuda`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fctfast.ops import (
    contrastive_views,
    fct_views,
    feature_distance,
    library_status,
    sample_contrastive,
    sample_rotate_affine,
    warp_distance,
)

pytestmark = pytest.mark.cuda
if not torch.cuda.is_available():
    pytest.skip("no GPU: captured graphs, streams and large grids", allow_module_level=True)

RAW = torch.ops.fctfast
MEAN, STD = [0.5] * 3, [0.25] * 3


def words(batch: int, side: int, bilinear: bool = False) -> Tensor:
    params = sample_rotate_affine(torch.arange(batch), 0, range(2), 180.0, (0.2, 0.2), (side, side))
    return RAW.affine_coefficients(params, side, side, bilinear).cuda()


def drawn(batch: int, side: int) -> Tensor:
    return sample_contrastive(torch.arange(batch), 0, 0, 2, (side, side))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).cuda()


def images(batch: int, side: int) -> Tensor:
    made = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, generator=made).cuda()


def groups(n: int) -> Tensor:
    return torch.randint(0, 10, (n,), generator=torch.Generator().manual_seed(2)).cuda()


def in_one(loss: Tensor, statistics: Tensor) -> Tensor:
    return torch.cat([loss.double().view(1), statistics.flatten()])


def statistics_of(group: Tensor) -> Tensor:
    """Of some batch with these groups: any logarithms, how many positives each row has."""
    logs = torch.linspace(7.0, 8.0, len(group), dtype=torch.float64, device=group.device)
    return torch.stack([logs, (group[:, None] == group).sum(1).double() - 1], 1)


# Each takes tensors that a captured graph reads again at its replay.
CALLS: dict[str, tuple[Callable[..., Tensor], Callable[[], list[Tensor]]]] = {
    "fct_views": (
        lambda i, k: RAW.fct_views(i, k, MEAN, STD, True, torch.float16, True, True),
        lambda: [images(16, 32), words(16, 32)],
    ),
    "fct_views bilinear": (
        lambda i, k: RAW.fct_views(i, k, MEAN, STD, True, torch.float32, False, True),
        lambda: [images(16, 32), words(16, 32, bilinear=True)],
    ),
    "contrastive_views": (
        lambda i, p: RAW.contrastive_views(i, p, MEAN, STD, 32, 32, True, torch.float16, True),
        lambda: [images(16, 32), drawn(16, 32).cuda()],
    ),
    "contrastive_views in parts": (  # and the walk before, for their mean
        lambda i, p: RAW.contrastive_views(i, p, MEAN, STD, 90, 110, True, torch.float32, False),
        lambda: [images(16, 100), drawn(16, 100).cuda()],
    ),
    "feature_distance": (
        lambda f: RAW.feature_distance(f, 2, False),
        lambda: [random(48, 512, 4, 4)],
    ),
    "feature_distance_backward": (
        lambda g, f: RAW.feature_distance_backward(g, f, 2, False),
        lambda: [random(2, 16), random(48, 512)],
    ),
    "warp_distance": (
        lambda x, k: RAW.warp_distance(x, k, [0.0, 0.1, 0.2], False),
        lambda: [random(16, 3, 128, 128), words(16, 128)],  # several parts and their finish
    ),
    "warp_distance_backward": (
        lambda g, x, k: RAW.warp_distance_backward(g, x, k, [0.0], True),
        lambda: [random(2, 16), random(16, 1, 32, 32), words(16, 32)],
    ),
    "supcon_loss": (  # shares of the columns, and a last tile that is not full
        lambda z, g: in_one(*RAW.supcon_loss(z, g, 0, -1, 0.1, 0.1, False)),
        lambda: [random(1000, 123), groups(1000)],
    ),
    "supcon_loss triangle": (  # 22 blocks of 192 rows, the last of 68
        lambda z, g: in_one(*RAW.supcon_loss(z, g, 0, -1, 0.1, 0.1, False)),
        lambda: [random(4100, 40), groups(4100)],
    ),
    "supcon_loss triangle, wide rows": (  # one tile of columns at a time
        lambda z, g: in_one(*RAW.supcon_loss(z, g, 0, -1, 0.1, 0.1, False)),
        lambda: [random(4100, 150), groups(4100)],
    ),
    "supcon_loss tf32, exponents relative": (
        lambda z, g: in_one(*RAW.supcon_loss(z, g, 0, -1, 0.01, 0.07, True)),
        lambda: [random(300, 128), groups(300)],
    ),
    "supcon_loss float16, own rows": (
        lambda z, g: in_one(*RAW.supcon_loss(z, g, 70, 500, 0.1, 0.1, False)),
        lambda: [random(1000, 123).half(), groups(1000)],
    ),
    "supcon_loss_backward": (
        lambda u, z, g, s: RAW.supcon_loss_backward(u, z, g, s, 0, -1, 0.1, 0.1, False),
        lambda: [random(1), random(1000, 123), groups(1000), statistics_of(groups(1000))],
    ),
    "supcon_loss_backward tf32, exponents relative": (
        lambda u, z, g, s: RAW.supcon_loss_backward(u, z, g, s, 0, -1, 0.01, 0.07, True),
        lambda: [random(1), random(300, 128), groups(300), statistics_of(groups(300))],
    ),
    "supcon_loss_backward bfloat16, wide rows": (  # several blocks' features
        lambda u, z, g, s: RAW.supcon_loss_backward(u, z, g, s, 0, -1, 0.1, 0.1, False),
        lambda: [random(1), random(300, 300).bfloat16(), groups(300), statistics_of(groups(300))],
    ),
}


def test_the_kernels_are_the_compiled_ones() -> None:
    status = library_status()
    assert status.cuda_loaded, status.cuda_reason


@pytest.mark.parametrize("name", CALLS)
def test_a_captured_graph_gives_the_bits_of_a_call(name: str) -> None:
    call, make = CALLS[name]
    arguments = make()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call(*arguments)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call(*arguments)
    fresh = [a.flip(0).clone() for a in make()]
    for argument, value in zip(arguments, fresh, strict=True):
        argument.copy_(value)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, call(*fresh))


@pytest.mark.parametrize("name", CALLS)
def test_runs_on_the_current_stream_without_waiting(name: str) -> None:
    call, make = CALLS[name]
    arguments = make()
    expected = call(*arguments)
    targets = [torch.zeros_like(a) for a in arguments]
    torch.cuda.synchronize()  # nothing of the above is still on its way when `side` begins
    side = torch.cuda.Stream()

    def work() -> Tensor:
        for target, value in zip(targets, arguments, strict=True):
            target.copy_(value)
        return call(*targets)

    with torch.cuda.stream(side):
        # Everything that may wait by itself: the stream's first memory, kernels loaded lazily.
        torch.cuda._sleep(1)
        work()
        for target in targets:
            target.zero_()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(2_000_000_000)  # about a second
        slept = torch.cuda.Event()
        slept.record()
        got = work()  # on another stream it would read zeros
        assert not slept.query(), "the call waited for the stream"
    side.synchronize()
    assert torch.equal(got, expected)


@pytest.mark.parametrize("name", CALLS)
def test_same_bits_in_20_runs(name: str) -> None:
    call, make = CALLS[name]
    arguments = make()
    first = call(*arguments)
    assert all(torch.equal(call(*arguments), first) for _ in range(20))


@pytest.mark.parametrize("size", [(32, 32), (90, 110), (7, 5)])
def test_contrastive_views_have_the_bits_of_the_cpu(size: tuple[int, int]) -> None:
    batch, params = images(40, 60), drawn(40, 60)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            how = {"size": size, "dtype": dtype, "memory_format": memory_format}
            made = contrastive_views(batch, params, MEAN, STD, **how)
            assert torch.equal(made, contrastive_views(batch, params.cuda(), MEAN, STD, **how))
            assert torch.equal(made.cpu(), contrastive_views(batch.cpu(), params, MEAN, STD, **how))


def test_rows_on_the_cpu_are_checked_before_they_are_copied() -> None:
    with pytest.raises(RuntimeError, match="expected a crop inside 8 x 8"):
        contrastive_views(images(2, 8), drawn(2, 32), MEAN, STD)


def test_more_blocks_than_65535() -> None:
    # Eight tiny images a block: 75,000 blocks.
    tiny = torch.arange(600_000, dtype=torch.int32).to(torch.uint8).reshape(-1, 1, 1, 1)
    views = fct_views(tiny.cuda(), torch.zeros(0, 600_000, 3), 0.0, 1 / 255)
    assert torch.equal(views.cpu().round().to(torch.uint8), tiny)
    # Eight rows a block.
    rows = random(2 * 600_000, 3)
    expected = feature_distance(rows.cpu())
    torch.testing.assert_close(feature_distance(rows).cpu(), expected)
    maps, params = random(70_000, 1, 2, 2), torch.tensor([180.0, 0.0, 0.0]).expand(70_000, 3)
    torch.testing.assert_close(warp_distance(maps, params).cpu(), warp_distance(maps.cpu(), params))


def test_more_work_than_the_largest_grid() -> None:
    rows = random(2 * 9_000_000, 1)  # 2^20 blocks of eight rows are 8,388,608
    torch.testing.assert_close(feature_distance(rows).cpu(), feature_distance(rows.cpu()))


def test_a_slice_that_starts_between_16_bytes() -> None:
    flat = random(1 + 4 * 8 * 16 * 16)
    odd = flat[1:].reshape(4, 8, 16, 16)
    assert odd.data_ptr() % 16
    params = torch.tensor([[30.0, 1.0, 2.0]] * 4)
    for function in (feature_distance, lambda x: warp_distance(x, params)):
        results = []
        for x in (odd, odd.clone()):
            leaf = x.detach().requires_grad_()
            assert leaf.data_ptr() == x.data_ptr()
            distance = function(leaf)
            results.append((distance, torch.autograd.grad(distance.sum(), leaf)[0]))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU only")
def test_the_device_of_the_tensors_and_not_the_current_one() -> None:
    features = random(6, 40)
    other = feature_distance(features.to("cuda:1"), 2)
    assert other.device == torch.device("cuda:1")
    assert torch.equal(other.cpu(), feature_distance(features, 2).cpu())
    with pytest.raises(RuntimeError, match="coefficients on the input's device"):
        RAW.fct_views(
            images(2, 8).to("cuda:1"), words(2, 8), MEAN, STD, True, torch.float32, False, True
        )
