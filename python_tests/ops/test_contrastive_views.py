"""contrastive_views against its reference."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fctfast.ops import contrastive_views, reference, sample_contrastive
from fctfast.ops.sample_contrastive import COLUMNS

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]
# In units of [0, 1], before normalising: sums of at most a few dozen float32 terms taken in another
# order, up to four steps that clamp, and a hue that divides by the chroma and multiplies by it.
BOUND = 1e-5


def images(batch: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randint(
        0, 256, (batch, height, width, channels), dtype=torch.uint8, generator=made
    )


def row(**words: float) -> Tensor:
    """Parameters of one view; what is not named leaves a 32x32 image as it is."""
    given = {"height": 32.0, "width": 32.0, "brightness": 1, "contrast": 1, "saturation": 1} | words
    return torch.tensor([[given.get(name, 0.0) for name in COLUMNS] + [0.0] * 4])


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (200, 9), (64, 48)])
@pytest.mark.parametrize("out", [None, (24, 20), (64, 64), (1, 3)])
def test_views_against_torchvision(
    size: tuple[int, int], out: tuple[int, int] | None, device: str
) -> None:
    batch = images(40, *size)
    params = sample_contrastive(torch.arange(40), 5, 1, 2, size)
    ours = contrastive_views(batch.to(device), params, MEAN, STD, size=out).cpu()
    wanted = reference.contrastive_views(batch, params, MEAN, STD, size=out)
    assert ours.shape == wanted.shape
    worst = ((ours - wanted) * torch.tensor(STD)[:, None, None]).abs().flatten(1).max(1).values
    assert float(worst.max()) <= BOUND, f"view {int(worst.argmax())}: {params[worst.argmax()]}"


def test_every_order_of_the_colours(device: str) -> None:
    batch = images(1, 32, 32)
    for number in range(24):
        params = row(jitter=1, order=number, brightness=1.3, contrast=0.6, saturation=1.4, hue=-0.1)
        ours = contrastive_views(batch.to(device), params, 0.0, 1.0).cpu()
        wanted = reference.contrastive_views(batch, params, 0.0, 1.0)
        assert float((ours - wanted).abs().max()) <= BOUND


def test_grey_pixels_and_pure_colours_keep_a_hue_that_is_defined(device: str) -> None:
    batch = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    batch[0, :8] = torch.randint(0, 256, (8, 32, 1), dtype=torch.uint8)
    colours = torch.tensor(list(itertools.product((0, 255), repeat=3)), dtype=torch.uint8)
    batch[0, 8:16] = colours.repeat(4, 1)
    params = row(jitter=1, order=23, hue=0.5)
    ours = contrastive_views(batch.to(device), params, 0.0, 1.0).cpu()
    assert float((ours - reference.contrastive_views(batch, params, 0.0, 1.0)).abs().max()) <= BOUND


def test_nothing_drawn_is_the_normalised_image(device: str) -> None:
    batch = images(3, 32, 32).to(device)
    ours = contrastive_views(batch, row().repeat(3, 1), MEAN, STD)
    plain = (batch.cpu().permute(0, 3, 1, 2).float() / 255 - torch.tensor(MEAN)[:, None, None]) / (
        torch.tensor(STD)[:, None, None]
    )
    torch.testing.assert_close(ours.cpu(), plain, rtol=0, atol=1e-6)
    flipped = contrastive_views(batch, row(flip=1).repeat(3, 1), MEAN, STD)
    assert torch.equal(flipped, ours.flip(3))
    crop = contrastive_views(
        batch, row(top=5, left=7, height=9, width=4).repeat(3, 1), MEAN, STD, size=(9, 4)
    )
    torch.testing.assert_close(crop, ours[:, :, 5:14, 7:11], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_layouts_formats_and_dtypes_agree(layout: str, dtype: torch.dtype, device: str) -> None:
    batch = images(7, 20, 24).to(device)
    params = sample_contrastive(torch.arange(7), 0, 0, 3, (20, 24))
    plain = contrastive_views(batch, params, MEAN, STD)
    given = batch if layout == "nhwc" else batch.permute(0, 3, 1, 2).contiguous()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        made = contrastive_views(
            given, params, MEAN, STD, layout=layout, dtype=dtype, memory_format=memory_format
        )
        assert made.is_contiguous(memory_format=memory_format)
        assert torch.equal(made, plain.to(dtype))
    wide = torch.zeros(7, 40, 30, 3, dtype=torch.uint8, device=device)
    wide[:, ::2, :24] = batch
    assert torch.equal(contrastive_views(wide[:, ::2, :24], params, MEAN, STD), plain)


def test_one_channel_has_no_colours(device: str) -> None:
    batch = images(20, 28, 28, 1)
    params = sample_contrastive(torch.arange(20), 0, 0, 2, (28, 28))
    ours = contrastive_views(batch.to(device), params, 0.3, 0.3).cpu()
    assert ours.shape == (40, 1, 28, 28)
    wanted = reference.contrastive_views(batch, params, 0.3, 0.3)
    assert float((ours - wanted).abs().max()) * 0.3 <= BOUND


# Against the triangle in float64: at such sides torchvision is off by up to 1e-3 along rows and .6
# along columns.
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(32767, 32766), (32767, 3), (3, 32767), (32767, 32767)]
)
@pytest.mark.parametrize("across", [False, True])
def test_the_longest_sides(across: bool, inputs: int, outputs: int, device: str) -> None:
    line = images(1, 1, inputs, 1) if across else images(1, inputs, 1, 1)
    size, out = ((1, inputs), (1, outputs)) if across else ((inputs, 1), (outputs, 1))
    ours = contrastive_views(
        line.to(device), row(height=size[0], width=size[1]), 0.0, 1.0, size=out
    ).cpu()
    scale = inputs / outputs
    reach = max(scale, 1.0)
    centre = scale * (torch.arange(outputs, dtype=torch.float64)[:, None] + 0.5)
    at = (centre - reach).floor() + torch.arange(int(2 * reach) + 3)
    weight = (1 - (at + 0.5 - centre).abs() / reach).clamp_min(0) * ((at >= 0) & (at < inputs))
    taken = line.flatten()[at.clamp(0, inputs - 1).long()].double() / 255
    wanted = (weight * taken).sum(1) / weight.sum(1)
    assert float((ours.flatten() - wanted).abs().max()) <= BOUND


# Upscaled, of the same size, of half the size; one block's view, and several blocks' (1,024 pixels
# are one block's), with a last one that is not full; a view narrower than a warp.
@pytest.mark.parametrize(
    ("size", "out"),
    [
        ((32, 32), (32, 32)), ((50, 37), (45, 47)), ((40, 30), (64, 64)), ((60, 90), (20, 21)),
        ((200, 9), (1, 3)), ((3, 5), (70, 40)), ((1, 1), (2, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.simt
def test_the_gpu_kernel_gives_the_bits_of_the_cpu_kernel(
    size: tuple[int, int], out: tuple[int, int], channels: int, simt_ops: Any
) -> None:
    batch = images(8, *size, channels)
    params = sample_contrastive(torch.arange(8), 2, 1, 3, size)
    mean, std = MEAN[:channels], STD[:channels]
    for dtype, last in itertools.product(
        (torch.float32, torch.bfloat16, torch.float16), (False, True)
    ):
        arguments = (batch, params, mean, std, *out, True, dtype, last)
        made = simt_ops.contrastive_views(*arguments)
        assert torch.equal(made, torch.ops.fctfast.contrastive_views(*arguments))


@pytest.mark.simt
def test_params_on_a_device_are_moved_inside_of_the_image(simt_ops: Any) -> None:
    """There no row can be refused: whatever it holds, the kernel reads the image alone."""
    batch = images(1, 9, 7)
    wild = torch.tensor([0.0, -1.0, 1e9, -1e9, float("nan"), float("inf"), 3.5])
    for top, side in itertools.product(wild, wild):
        params = row(top=top, left=side, height=side, width=top, jitter=1, order=side, contrast=0.5)
        simt_ops.contrastive_views(
            batch, params, [0.5] * 3, [0.2] * 3, 8, 8, True, torch.float32, False
        )


@pytest.mark.simt
@pytest.mark.parametrize(("asked", "given"), [(2.5, 0.5), (-0.7, -0.5), (float("nan"), -0.5)])
def test_hues_on_a_device_are_turned_by_half_a_circle_at_most(
    simt_ops: Any, asked: float, given: float
) -> None:
    how = ([0.5] * 3, [0.2] * 3, 32, 32, True, torch.float32, False)
    batch = images(1, 32, 32)
    made = simt_ops.contrastive_views(batch, row(jitter=1, hue=asked), *how)
    assert torch.equal(made, simt_ops.contrastive_views(batch, row(jitter=1, hue=given), *how))


def test_same_bits_in_20_runs_and_for_every_thread_count_and_batch() -> None:
    batch = images(60, 32, 32)
    params = sample_contrastive(torch.arange(60), 0, 0, 2, (32, 32))
    before, made = torch.get_num_threads(), []
    try:
        for run in range(20):
            torch.set_num_threads(1 + run % 4)
            made.append(contrastive_views(batch, params, MEAN, STD))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(m, made[0]) for m in made)
    some = params.view(2, 60, 16)[:, 10:13].reshape(6, 16)
    alone = contrastive_views(batch[10:13], some, MEAN, STD)
    assert torch.equal(alone.view(2, 3, 3, 32, 32), made[0].view(2, 60, 3, 32, 32)[:, 10:13])


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_bits(
    isa: str, run_with_isa: Callable[[str, str], str]
) -> None:
    code = """
import hashlib, torch
from fctfast.ops import contrastive_views, library_status, sample_contrastive
made = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
for size, out, channels in (
    ((32, 32), None, 3), ((50, 37), (40, 44), 3), ((50, 37), (37, 43), 3), ((28, 27), None, 1)
):
    images = torch.randint(0, 256, (20, *size, channels), dtype=torch.uint8, generator=made)
    params = sample_contrastive(torch.arange(20), 0, 0, 2, size)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        views = contrastive_views(images, params, .5, .25, size=out, dtype=dtype)
        digest.update(views.reshape(-1).view(torch.uint8).numpy().tobytes())
print(library_status().instruction_set, digest.hexdigest())
"""
    name, digest = run_with_isa(code, isa).split()
    assert name == isa
    assert digest == run_with_isa(code, "baseline").split()[1]


def test_no_samples_and_no_views() -> None:
    nothing = sample_contrastive(torch.arange(0), 0, 0, 2, (8, 8))
    assert contrastive_views(images(0, 8, 8), nothing, MEAN, STD).shape == (0, 3, 8, 8)
    assert contrastive_views(images(4, 8, 8), nothing, MEAN, STD).shape == (0, 3, 8, 8)


def test_opcheck_and_compile() -> None:
    batch = images(3, 8, 8)
    params = sample_contrastive(torch.arange(3), 0, 0, 2, (8, 8))
    how = (MEAN, STD, 6, 5, True, torch.float16, True)
    torch.library.opcheck(torch.ops.fctfast.contrastive_views, (batch, params, *how))
    compiled = torch.compile(lambda b: contrastive_views(b, params, MEAN, STD) * 2, fullgraph=True)
    assert torch.equal(compiled(batch), contrastive_views(batch, params, MEAN, STD) * 2)


@pytest.mark.parametrize(
    "words",
    [{"hue": 0.51}, {"hue": -0.6}, {"brightness": -0.1}, {"saturation": float("nan")},
     {"contrast": float("inf")}],
)  # fmt: skip
def test_colours_that_are_none_are_refused_where_they_are_asked_for(
    words: dict[str, float],
) -> None:
    batch = images(1, 32, 32)
    ((name, value),) = words.items()
    with pytest.raises(RuntimeError, match=f"half a circle.* {name} {value:g}.* in row 0"):
        contrastive_views(batch, row(jitter=1, **words), MEAN, STD)
    # Without jitter nobody reads them.
    left = contrastive_views(batch, row(**words), MEAN, STD)
    assert torch.equal(left, contrastive_views(batch, row(), MEAN, STD))


@pytest.mark.parametrize("hue", [-0.5, 0.5])
def test_half_a_turn_of_the_hue_either_way(hue: float, device: str) -> None:
    batch = images(1, 32, 32)
    turned = row(jitter=1, hue=hue)
    made = contrastive_views(batch.to(device), turned, MEAN, STD).cpu()
    torch.testing.assert_close(made, reference.contrastive_views(batch, turned, MEAN, STD).float())


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"images": torch.zeros(2, 8, 8, 3)}, TypeError, "expected images uint8"),
        ({"images": torch.zeros(8, 8, 3, dtype=torch.uint8)}, ValueError, r"\[B, H, W, C\]"),
        ({"images": images(2, 8, 8, 2)}, ValueError, "1 or 3 channels"),
        ({"params": torch.zeros(4, 16, dtype=torch.float64)}, TypeError, "params float32"),
        ({"params": torch.zeros(3, 16)}, ValueError, r"params \[V\*2, 16\]"),
        ({"params": torch.zeros(4, 12)}, ValueError, r"params \[V\*2, 16\]"),
        ({"params": torch.zeros(4, 16)}, RuntimeError, "expected a crop inside 8 x 8"),
        ({"params": row(top=1).repeat(4, 1)}, RuntimeError, "top 1, left 0, height 32"),
        ({"dtype": torch.float64}, TypeError, "dtype float32, bfloat16 or float16"),
        ({"std": 0.0}, ValueError, "std without zeros"),
        ({"mean": [0.5, 0.5]}, ValueError, "mean of 3 values"),
        ({"size": (0, 4)}, ValueError, "at least one pixel"),
        ({"images": images(2, 0, 8)}, ValueError, "at least one pixel"),
        ({"size": 8}, ValueError, r"size \(height, width\) in whole pixels, got 8"),
        ({"size": (8.0, 8)}, ValueError, "whole pixels"),
        ({"std": float("nan")}, ValueError, "expected finite std, got nan"),
        ({"std": (0.2, 0.0, 0.2)}, ValueError, "std without zeros"),
        ({"layout": "hwc"}, ValueError, "layout='nhwc' or 'nchw'"),
    ],
)
def test_errors_teach(change: dict[str, Any], kind: type[Exception], words: str) -> None:
    good: dict[str, Any] = {
        "images": images(2, 8, 8),
        "params": sample_contrastive(torch.arange(2), 0, 0, 2, (8, 8)),
        "mean": 0.5,
        "std": 0.25,
    }
    with pytest.raises(kind, match=words):
        contrastive_views(**{**good, **change})
