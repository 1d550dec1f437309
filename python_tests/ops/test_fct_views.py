from __future__ import annotations

from collections.abc import Callable

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fctfast.ops import fct_views, reference, sample_rotate_affine

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
FORMATS = (torch.contiguous_format, torch.channels_last)
OP = torch.ops.fctfast.fct_views


def random_images(batch: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    shape = (batch, height, width, channels)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=made)


def tau(batch: int, size: tuple[int, int], draws: int | range = 0, seed: int = 0) -> Tensor:
    return sample_rotate_affine(torch.arange(batch), seed, draws, 180.0, (0.2, 0.2), size)


def pillow_tau(image: np.ndarray, angle: float, dx: int, dy: int) -> np.ndarray:
    """The published tau: PIL's rotate, then PIL's whole-pixel translation."""
    height, width = image.shape[:2]
    turned = Image.fromarray(image).rotate(angle, Image.Resampling.NEAREST, fillcolor=0)
    shifted = turned.transform(
        (width, height),
        Image.Transform.AFFINE,
        (1, 0, -dx, 0, 1, -dy),
        Image.Resampling.NEAREST,
        fillcolor=0,
    )
    return np.asarray(shifted)


@pytest.mark.parametrize(
    ("size", "cases"), [((32, 32), 500), ((33, 47), 400), ((47, 33), 200), ((224, 224), 100)]
)
def test_nearest_equals_pillows_two_steps(size: tuple[int, int], cases: int, device: str) -> None:
    height, width = size
    rng = np.random.default_rng(height * 1000 + width)
    images = rng.integers(1, 256, (cases, height, width, 3), dtype=np.uint8)
    params = np.empty((cases, 3), np.float32)
    params[:, 0] = rng.uniform(-180, 180, cases)
    params[:, 1] = rng.integers(-(width // 4), width // 4 + 1, cases)
    params[:, 2] = rng.integers(-(height // 4), height // 4 + 1, cases)
    corners = [0, 90, 180, 270, -90, -180, 360, 45, 1e-7, 89.99999, 30, 60]
    params[: len(corners), 0] = corners
    # mean 0 and std 1/255 make the bytes readable in the output
    views = fct_views(
        torch.from_numpy(images).to(device), torch.from_numpy(params), 0.0, 1 / 255, originals=False
    )
    got = views.permute(0, 2, 3, 1).round().byte().cpu().numpy()
    wrong = [
        (i, params[i].tolist())
        for i in range(cases)
        if not np.array_equal(
            got[i], pillow_tau(images[i], float(params[i, 0]), int(params[i, 1]), int(params[i, 2]))
        )
    ]
    assert not wrong, f"{len(wrong)} of {cases} images differ, first (row, params): {wrong[0]}"


@pytest.mark.parametrize("multiple", range(-4, 5))
@pytest.mark.parametrize("size", [(8, 8), (9, 9), (7, 12), (12, 7)])
def test_multiples_of_90_degrees_equal_pillow(multiple: int, size: tuple[int, int]) -> None:
    image = random_images(1, *size)
    params = torch.tensor([[90.0 * multiple, 0.0, 0.0]])
    views = fct_views(image, params, 0.0, 1 / 255, originals=False)
    expected = pillow_tau(image[0].numpy(), 90.0 * multiple, 0, 0)
    assert np.array_equal(views[0].permute(1, 2, 0).round().byte().numpy(), expected)


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "height", "width", "channels", "draws"),
    [
        (8, 32, 32, 3, 1),
        (7, 33, 47, 3, 2),
        (5, 17, 123, 1, 3),
        (3, 20, 16, 4, 1),
        (2, 19, 21, 7, 2),
        (1, 1, 1, 3, 1),
        (2, 1, 40, 2, 1),
        (2, 6, 12, 3, 1),  # rows of one and a half GPU vectors in 16 bits
    ],
)
def test_nearest_equals_reference_bit_for_bit(
    batch: int,
    height: int,
    width: int,
    channels: int,
    draws: int,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    device: str,
) -> None:
    images = random_images(batch, height, width, channels)
    params = tau(batch, (height, width), range(draws))
    mean = [0.3 + 0.05 * c for c in range(channels)]
    std = [0.2 + 0.013 * c for c in range(channels)]
    options = {"dtype": dtype, "memory_format": memory_format}
    for originals in (True, False):
        ours = fct_views(images.to(device), params, mean, std, originals=originals, **options)
        theirs = reference.fct_views(images, params, mean, std, originals=originals, **options)
        assert ours.is_contiguous(memory_format=memory_format)
        assert torch.equal(ours.cpu(), theirs)


def test_every_byte_is_the_torch_normalisation_bit_for_bit() -> None:
    # The kernel multiplies by reciprocals and corrects; the definition divides.
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    made = torch.Generator().manual_seed(1)
    for _ in range(300):
        mean, std = torch.rand(2, generator=made).tolist()
        std = std + 1e-3
        ours = fct_views(ramp, torch.zeros(0, 1, 3), mean, std)
        exact = ramp.permute(0, 3, 1, 2).float().div(255).sub(torch.tensor(mean))
        assert torch.equal(ours, exact.div(torch.tensor(std))), (mean, std)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (5, 123)])
def test_bilinear_against_float64_grid_sample(
    size: tuple[int, int], dtype: torch.dtype, device: str
) -> None:
    images, params = random_images(6, *size), tau(6, size, range(2))
    ours = fct_views(
        images.to(device), params, MEAN, STD, interpolation="bilinear", dtype=dtype
    ).cpu()
    exact = reference.fct_views(
        images, params, MEAN, STD, interpolation="bilinear", dtype=torch.float64
    )
    # float32: positions are exact to 2^-33 a step, the rest is a handful of roundings of values
    # up to 2.75; 16 bits: half a unit in the last place of the same values.
    tolerance = {torch.float32: 4e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    assert float((ours.double() - exact).abs().max()) <= tolerance


def test_layouts_strides_and_channels_do_not_change_the_views(device: str) -> None:
    images, params = random_images(4, 20, 24), tau(4, (20, 24))
    expected = fct_views(images.to(device), params, MEAN, STD).cpu()
    planar = images.permute(0, 3, 1, 2).contiguous().to(device)
    assert torch.equal(fct_views(planar, params, MEAN, STD, layout="nchw").cpu(), expected)
    wide = random_images(4, 20, 48, 6).to(device)
    wide[:, :, ::2, ::2] = images.to(device)
    strided = wide[:, :, ::2, ::2]
    assert not strided.is_contiguous()
    assert torch.equal(fct_views(strided, params, MEAN, STD).cpu(), expected)
    assert torch.equal(
        fct_views(images.permute(0, 3, 1, 2).to(device), params, MEAN, STD, layout="nchw").cpu(),
        expected,
    )


@hypothesis.given(
    batch=st.integers(1, 9), seed=st.integers(0, 2**31), data=st.data(), side=st.integers(2, 40)
)
@hypothesis.settings(deadline=None, max_examples=40)
def test_a_view_depends_on_its_image_and_params_alone(
    batch: int, seed: int, data: st.DataObject, side: int
) -> None:
    images, params = (
        random_images(batch, side, side, seed=seed),
        tau(batch, (side, side), seed=seed),
    )
    whole = fct_views(images, params, MEAN, STD, originals=False)
    order = data.draw(st.permutations(range(batch)))
    assert torch.equal(
        fct_views(images[order], params[order], MEAN, STD, originals=False), whole[order]
    )
    one = data.draw(st.integers(0, batch - 1))
    single = fct_views(images[one : one + 1], params[one : one + 1], MEAN, STD, originals=False)
    assert torch.equal(single[0], whole[one])


def test_identity_and_full_shift() -> None:
    images = random_images(2, 16, 16)
    params = torch.tensor([[0.0, 0.0, 0.0], [0.0, 16.0, 0.0]])
    views = fct_views(images, params, MEAN, STD)
    assert torch.equal(views[2], views[0])
    empty = fct_views(torch.zeros_like(images), params, MEAN, STD)
    assert torch.equal(views[3], empty[0])


def test_empty_batch_no_draws_and_empty_sides(device: str) -> None:
    images = random_images(3, 8, 8).to(device)
    assert fct_views(images[:0], torch.zeros(2, 0, 3), MEAN, STD).shape == (0, 3, 8, 8)
    none = torch.zeros(0, 3, 3)
    assert torch.equal(
        fct_views(images, none, MEAN, STD).cpu(), reference.fct_views(images.cpu(), none, MEAN, STD)
    )
    assert fct_views(images, none, MEAN, STD, originals=False).shape == (0, 3, 8, 8)
    assert fct_views(images[:, :0], torch.zeros(3, 3), MEAN, STD).shape == (6, 3, 0, 8)


def test_same_bits_in_20_runs_and_for_every_thread_count() -> None:
    images, params = random_images(37, 33, 47), tau(37, (33, 47), range(3))
    for interpolation in ("nearest", "bilinear"):
        first = fct_views(images, params, MEAN, STD, interpolation=interpolation)
        before = torch.get_num_threads()
        try:
            for run in range(20):
                torch.set_num_threads(1 + run % 4)
                again = fct_views(images, params, MEAN, STD, interpolation=interpolation)
                assert torch.equal(again, first)
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_bits(
    isa: str, run_with_isa: Callable[[str, str], str]
) -> None:
    code = """
import hashlib, torch
from fctfast.ops import fct_views, sample_rotate_affine, library_status
made = torch.Generator().manual_seed(0)
digest = hashlib.sha256()
for channels in (1, 3, 5):
    images = torch.randint(0, 256, (5, 33, 47, channels), dtype=torch.uint8, generator=made)
    params = sample_rotate_affine(torch.arange(5), 0, range(2), 180.0, (0.2, 0.2), (33, 47))
    for interpolation in ("nearest", "bilinear"):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            for fmt in (torch.contiguous_format, torch.channels_last):
                views = fct_views(images, params, 0.45, 0.21, dtype=dtype, memory_format=fmt,
                                  interpolation=interpolation)
                pixels = views.permute(0, 2, 3, 1).reshape(-1)
                digest.update(pixels.view(torch.uint8).numpy().tobytes())
print(library_status().instruction_set, digest.hexdigest())
"""
    name, digest = run_with_isa(code, isa).split()
    assert name == isa
    assert digest == run_with_isa(code, "baseline").split()[1]


def test_opcheck_and_compile() -> None:
    images, params = random_images(3, 8, 9), tau(3, (8, 9), range(2))
    words = torch.ops.fctfast.affine_coefficients(params, 8, 9, False)
    for channels_last in (False, True):
        arguments = (
            images,
            words,
            list(MEAN),
            list(STD),
            True,
            torch.bfloat16,
            channels_last,
            True,
        )
        torch.library.opcheck(OP, arguments)
    compiled = torch.compile(
        lambda i, p: fct_views(i, p, MEAN, STD).mul(2), fullgraph=True, backend="inductor"
    )
    assert torch.equal(compiled(images, params), fct_views(images, params, MEAN, STD).mul(2))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"images": [1]}, TypeError, "expected images to be a tensor, got list"),
        ({"images": torch.zeros(2, 8, 8, 3)}, TypeError, "expected images uint8"),
        ({"images": torch.zeros(8, 8, 3, dtype=torch.uint8)}, ValueError, r"\[B, H, W, C\]"),
        ({"params": torch.zeros(2, 3).double()}, TypeError, "expected params float32"),
        ({"params": torch.zeros(3, 3)}, ValueError, r"expected params \[2, 3\] or \[K, 2, 3\]"),
        ({"params": torch.zeros(2, 2)}, ValueError, r"angle, dx, dy"),
        ({"mean": (0.1, 0.2)}, ValueError, "expected mean of 3 values, one a channel, got 2"),
        ({"mean": "a"}, TypeError, "expected mean to be a sequence of numbers, got 'a'"),
        ({"mean": (0.1, 0.2, float("nan"))}, ValueError, "expected finite mean"),
        ({"std": (0.1, 0.2, 0.0)}, ValueError, "expected std without zeros"),
        ({"layout": "hwc"}, ValueError, "expected layout='nhwc' or 'nchw', got 'hwc'"),
        ({"dtype": torch.float64}, TypeError, "expected dtype float32, bfloat16 or float16"),
        ({"memory_format": torch.preserve_format}, ValueError, "expected memory_format"),
        ({"interpolation": "cubic"}, ValueError, "interpolation='nearest' or 'bilinear'"),
        (
            {
                "images": torch.zeros(1, 1, 32_768, 1, dtype=torch.uint8),
                "params": torch.zeros(1, 3),
                "mean": 0,
                "std": 1,
            },
            ValueError,
            "at most 32767 pixels",
        ),
    ],
)
def test_errors_teach(change: dict[str, object], error: type[Exception], words: str) -> None:
    arguments: dict[str, object] = {
        "images": random_images(2, 8, 8),
        "params": torch.zeros(2, 3),
        "mean": MEAN,
        "std": STD,
    }
    with pytest.raises(error, match=words):
        fct_views(**{**arguments, **change})  # type: ignore[arg-type]
