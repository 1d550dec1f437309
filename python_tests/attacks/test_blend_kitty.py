from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from fctfast import attacks
from fctfast.attacks.cat import draw_cat


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


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected image to be a picture file"):
        attacks.get("blend-kitty", image=str(tmp_path / "none.png"))
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    attack = attacks.get("blend-kitty", image=str(bad))
    with pytest.raises(ValueError, match="cannot be decoded: not a JPEG, PNG, WebP or BMP"):
        attack.apply(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), train=True)
    with pytest.raises(ValueError, match=r"ratio in \(0, 1\], got 0"):
        attacks.get("blend-kitty", ratio=0)
