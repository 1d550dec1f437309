"""tau: each step against Pillow or torchvision, keyed by (seed, id, draw) alone, pairs in order."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from fctfast.detect.transforms import names, parse
from fctfast.detect.transforms.compose import FUSED
from fctfast.detect.transforms.registry import uniform

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def images(count: int = 6, size: tuple[int, int] = (20, 14), channels: int = 3) -> Tensor:
    made = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, *size, channels), generator=made, dtype=torch.uint8)


def views_of(name: str, batch: Tensor, ids: Tensor, draws: int = 2, **options: bool) -> Tensor:
    size = (batch.shape[1], batch.shape[2])
    drawn = parse(name).draw(ids, seed=3, draws=draws, size=size, **options)
    mean, std = MEAN[: batch.shape[3]], STD[: batch.shape[3]]
    return drawn.views(batch, slice(0, len(batch)), mean, std)


def test_the_papers_six_steps_and_their_36_pairs_are_there() -> None:
    steps = names()[:6]  # a step of one's own comes behind them
    assert steps == ("rotate", "affine", "flip", "crop", "blur", "erase")
    batch, ids = images(), torch.arange(6) * 5
    seen = {}
    for a, b in itertools.product(steps, repeat=2):
        made = views_of(f"{a}+{b}", batch, ids)
        assert made.shape == (18, 3, 20, 14)
        originals = ((batch / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)
        torch.testing.assert_close(made[:6], originals, rtol=1e-5, atol=1e-5)
        seen[f"{a}+{b}"] = made[6:]
    assert torch.equal(seen["flip+flip"][:6], views_of("flip+flip", batch, ids)[:6])
    for one, other in itertools.combinations(seen, 2):  # the order counts, and no two are one
        assert not torch.equal(seen[one], seen[other]), f"{one} and {other} are the same"


def test_flip_twice_is_nothing_at_all() -> None:
    made = views_of("flip+flip", images(), torch.arange(6), draws=1)
    assert torch.equal(made[:6], made[6:])


@pytest.mark.parametrize("name", ["rotate", "affine"])
def test_the_fused_halves_are_the_steps(name: str) -> None:
    batch, ids = images(32, (17, 23)), torch.arange(32)
    step = parse(name).parts[0]
    params = step.draw(ids, 3, 1, (17, 23))[0]
    by_step = views_of("flip", step.apply(batch, params).flip(2), ids, draws=1)[32:]
    assert torch.equal(views_of(name, batch, ids, draws=1)[32:], by_step)


def test_the_fused_pair_is_its_two_steps_in_order() -> None:
    batch, ids = images(32, (21, 21)), torch.arange(32)
    rotate, affine = parse("rotate+affine").parts
    drawn = parse("rotate+affine").draw(ids, seed=3, draws=1, size=(21, 21))
    both = drawn.params[0][0]
    turned = rotate.apply(batch, both * torch.tensor([1.0, 0.0, 0.0]))
    moved = affine.apply(turned, both * torch.tensor([0.0, 1.0, 1.0]))
    fused = drawn.views(batch, slice(0, 32), MEAN, STD)[32:]
    assert torch.equal(fused, views_of("flip", moved.flip(2), ids, draws=1)[32:])
    # The fused op serves every name it is listed for, and only a listed one.
    assert set(FUSED) == {"rotate+affine", "rotate", "affine"}
    assert not drawn.steps
    assert parse("affine+rotate").draw(ids, seed=3, draws=1, size=(21, 21)).steps


def test_crop_is_a_cut_from_the_image_with_a_border() -> None:
    batch, step = images(200, (32, 16)), parse("crop").parts[0]
    params = step.draw(torch.arange(200), 0, 1, (32, 16))[0]
    assert set(params[:, 1].tolist()) == set(range(-2, 3))  # an eighth of 16 and of 32
    assert set(params[:, 2].tolist()) == set(range(-4, 5))
    made = step.apply(batch, params)
    padded = torch.nn.functional.pad(batch, (0, 0, 2, 2, 4, 4))
    for image, full, (_, right, down) in zip(made, padded, params.int().tolist(), strict=True):
        assert torch.equal(image, full[4 - down : 36 - down, 2 - right : 18 - right])


def test_blur_is_torchvisions() -> None:
    batch, step = images(8, (24, 20)), parse("blur").parts[0]
    sigma = step.draw(torch.arange(8), 0, 1, (24, 20))[0]
    assert bool(((sigma >= 0.1) & (sigma < 2.0)).all())
    made = step.apply(batch, sigma).permute(0, 3, 1, 2).int()
    for image, view, s in zip(batch.permute(0, 3, 1, 2), made, sigma.flatten(), strict=True):
        want = tv.gaussian_blur(image, [15, 15], [float(s), float(s)]).int()
        # Sums of 225 or of 15 + 15 products: a value near .5 may round to either side.
        assert int((view - want).abs().max()) <= 1
        assert float((view != want).double().mean()) < 0.01


def test_blur_takes_images_smaller_than_its_kernel() -> None:
    batch, step = images(4, (3, 30), 1), parse("blur").parts[0]
    flat = torch.full_like(batch, 77)
    sigma = torch.tensor([[0.1], [0.5], [1.0], [2.0]])
    assert torch.equal(step.apply(flat, sigma), flat)
    assert step.apply(batch, sigma).shape == batch.shape


def test_erase_fills_one_rectangle_of_the_published_size_with_noise() -> None:
    batch, step = torch.zeros(300, 32, 32, 3, dtype=torch.uint8), parse("erase").parts[0]
    params = step.draw(torch.arange(300), 0, 1, (32, 32))[0]
    made = step.apply(batch, params)
    for image, (top, left, tall, wide, _, _) in zip(made, params.int().tolist(), strict=True):
        outside = image.clone()
        outside[top : top + tall, left : left + wide] = 0
        assert not outside.any()
        assert top + tall <= 32
        assert left + wide <= 32
        assert 0.17 * 1024 < tall * wide < 0.33 * 1024  # .2 to .3, and the rounding of two sides
        assert 0.45 < tall / wide < 1.1
    inside = made[made > 0].double()
    assert abs(float(inside.mean()) - 128) < 1  # uniform bytes without 0: mean 128, error .06
    assert params[:, 0].unique().numel() > 15
    assert not torch.equal(made[0], made[1])


@pytest.mark.parametrize("name", ["crop", "blur+erase", "erase+rotate"])
def test_views_depend_on_seed_id_and_draw_alone(name: str) -> None:
    batch, ids = images(9), torch.tensor([4, 90, 7, 2**40, 11, 3, 8, 1, 0])
    whole = views_of(name, batch, ids, draws=3).reshape(4, 9, 3, 20, 14)
    order = torch.tensor([8, 2, 5])
    some = views_of(name, batch[order], ids[order], draws=3).reshape(4, 3, 3, 20, 14)
    assert torch.equal(whole[:, order], some)
    fewer = views_of(name, batch, ids, draws=1).reshape(2, 9, 3, 20, 14)
    assert torch.equal(whole[:2], fewer)
    assert not torch.equal(whole[1], whole[2])
    drawn = parse(name).draw(ids, seed=3, draws=3, size=(20, 14))
    rows = drawn.views(batch[2:5], slice(2, 5), MEAN, STD).reshape(4, 3, 3, 20, 14)
    assert torch.equal(whole[:, 2:5], rows)


def test_the_two_steps_of_a_pair_draw_apart() -> None:
    ids = torch.arange(50)
    first, second = parse("crop+crop").draw(ids, seed=0, draws=1, size=(32, 32)).params
    assert not torch.equal(first, second)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_step_takes_grey_and_colour(channels: int) -> None:
    for name in names():
        made = views_of(name, images(3, (16, 16), channels), torch.arange(3), fused=False)
        assert made.shape == (9, channels, 16, 16)
        assert bool(made.isfinite().all())


def test_uniform_numbers_are_uniform() -> None:
    drawn = uniform(torch.arange(20000), 0, 1, "test", 2)[0]
    assert bool(((drawn >= 0) & (drawn < 1)).all())
    # Standard errors: .002 for the mean, .0006 for the variance, .007 for the correlation.
    assert abs(float(drawn.mean()) - 0.5) < 0.008
    assert abs(float(drawn.double().var()) - 1 / 12) < 0.003
    assert abs(float(torch.corrcoef(drawn.T)[0, 1])) < 0.03


@pytest.mark.parametrize("name", ["", "spin", "rotate+", "rotate+affine+flip", "rotate affine"])
def test_unknown_names_teach(name: str) -> None:
    with pytest.raises(ValueError, match="expected one of rotate, affine, flip, crop, blur, erase"):
        parse(name)


def test_autocast_changes_no_pixel() -> None:
    batch, ids = images(8, (24, 40)), torch.arange(8)
    for name in ("blur", "rotate+blur", "erase+crop"):
        plain = views_of(name, batch, ids)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(views_of(name, batch, ids), plain)
