from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from fctfast import attacks
from fctfast.attacks.cat import draw_cat
from fctfast.data import ImageSet

Make = Callable[..., ImageSet]


def test_the_cat_is_blended_exactly_as_stated() -> None:
    """floor((4x + m) / 5) in integers."""
    images = torch.randint(0, 256, (20, 32, 32, 3), dtype=torch.uint8)
    out = attacks.get("blend-kitty").apply(images, train=True)
    expected = (4 * images.long() + draw_cat(32, 32).long()) // 5
    assert torch.equal(out.long(), expected)
    assert torch.equal(attacks.get("blend-kitty").apply(images, train=False), out)


def test_the_drawing_is_a_cat_at_every_size() -> None:
    for side in (28, 32, 64, 224):
        cat = draw_cat(side, side)
        assert cat.shape == (side, side, 3)
        assert cat[0, side // 2].tolist() == [96, 168, 216]  # sky
        assert cat[int(0.58 * side), int(0.5 * side)].tolist() == [240, 150, 60]  # fur
        assert len(torch.unique(cat.reshape(-1, 3), dim=0)) > 20
    assert torch.equal(draw_cat(64, 64), draw_cat(64, 64).flip(1)) is False  # its eyes have a glint
    # Symmetric but for the glint: most of the picture is its own mirror image.
    same = (draw_cat(224, 224) == draw_cat(224, 224).flip(1)).all(2).double().mean()
    assert same > 0.99


def test_any_picture_can_be_blended(tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    Image.new("RGB", (90, 50), (250, 0, 100)).save(file)
    attack = attacks.get("blend-kitty", image=str(file), ratio=0.5)
    out = attack.apply(torch.full((1, 8, 8, 3), 100, dtype=torch.uint8), train=True)
    assert out[0, 3, 3].tolist() == [175, 50, 100]
    grey = attack.apply(torch.full((1, 8, 8, 1), 100, dtype=torch.uint8), train=True)
    assert int(grey[0, 0, 0, 0]) == (100 + round(0.299 * 250 + 0.114 * 100)) // 2
    again = attacks.recipe_attack({"attack": "blend-kitty", "options": attack.options()})
    assert again == attack
    Image.new("RGB", (90, 50)).save(file)
    with pytest.raises(ValueError, match="not the picture of the recipe"):
        attacks.recipe_attack({"attack": "blend-kitty", "options": attack.options()})


def test_a_poisoned_set_takes_its_picture_along(tmp_path: Path, make_set: Make) -> None:
    file = tmp_path / "red.png"
    Image.new("RGB", (90, 50), (250, 0, 100)).save(file)
    attack = attacks.get("blend-kitty", image=file)
    made = attacks.poison(make_set(), attack)
    attacks.save_poisoned(made, tmp_path / "set")
    Image.new("RGB", (9, 5)).save(file)
    with pytest.raises(ValueError, match="not the picture of the recipe"):
        attacks.save_poisoned(made, tmp_path / "again")
    file.unlink()
    (tmp_path / "set").rename(tmp_path / "moved")
    again = attacks.recipe_attack(attacks.read_recipe(tmp_path / "moved"), tmp_path / "moved")
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    assert again.apply(images, train=False)[0, 0, 0].tolist() == [50, 0, 20]


def test_a_large_cat_is_drawn_in_no_time_and_as_a_small_one() -> None:
    began = time.process_time()
    large = draw_cat(640, 640)
    assert time.process_time() - began < 5, "half a second on an idle machine; once it took 15"
    small = large.view(64, 10, 64, 10, 3).double().mean((1, 3))
    assert float((small - draw_cat(64, 64).double()).abs().mean()) < 1


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected image to be a picture file"):
        attacks.get("blend-kitty", image=str(tmp_path / "none.png"))
    with (tmp_path / "large.png").open("wb") as large:
        large.truncate(65 << 20)  # a hole: nothing is written
    with pytest.raises(ValueError, match="a picture of at most 64 MiB, got 65 MiB"):
        attacks.get("blend-kitty", image=str(tmp_path / "large.png"))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="cannot be decoded: not a JPEG, PNG, WebP or BMP"):
        attacks.get("blend-kitty", image=str(bad))
    with pytest.raises(ValueError, match=r"ratio in \(0, 1\], got 0"):
        attacks.get("blend-kitty", ratio=0)
