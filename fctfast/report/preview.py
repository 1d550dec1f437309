"""What an attack does to images, for a person to look at."""

from __future__ import annotations

import io as memory
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from fctfast import io

TILE, GAP, HEAD = 160, 10, 30
INK = "#1f2933"
MADE_BY = "fctfast preview"


def is_preview(path: str | Path) -> bool:
    """Whether a file is a picture of :func:`save_preview`, which a new one may replace."""
    with Path(path).open("rb") as file:
        return MADE_BY.encode() in file.read(200)


def save_preview(path: str | Path, clean: Tensor, triggered: Tensor, *, title: str) -> None:
    """Draw images, the same with the trigger, and the difference, side by side.

    The difference is grey where nothing changed. It is multiplied by a number of at least 1, which
    the heading names: what brings half of the changed values to three quarters of the contrast or
    more, so that a few strong pixels do not hide many weak ones.

    Args:
        path: PNG file to write.
        clean: uint8 [N, H, W, C], a row each.
        triggered: uint8, of the same shape.
        title: first words of the heading.

    Raises:
        ValueError: there is no image, or the shapes differ.
    """
    if not len(clean) or clean.shape != triggered.shape:
        raise ValueError(
            f"preview: expected images and as many triggered ones, got {list(clean.shape)} and "
            f"{list(triggered.shape)}"
        )
    change = triggered.int() - clean.int()
    changed = change.abs()[change != 0]
    gain = max(1.0, 96 / float(changed.median())) if len(changed) else 1.0
    shown = (128 + gain * change).round().clamp(0, 255).to(torch.uint8)
    heads = ("clean", "with the trigger", f"difference x {gain:.3g}")
    sheet = Image.new(
        "RGB", (GAP + 3 * (TILE + GAP), 2 * HEAD + len(clean) * (TILE + GAP)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, fill=INK, font=ImageFont.load_default(15))
    for column, (head, images) in enumerate(zip(heads, (clean, triggered, shown), strict=True)):
        left = GAP + column * (TILE + GAP)
        draw.text((left, HEAD + GAP), head, fill=INK, font=ImageFont.load_default(12))
        for row, image in enumerate(images):
            sheet.paste(_tile(image), (left, 2 * HEAD + row * (TILE + GAP)))
    buffer = memory.BytesIO()
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", MADE_BY)
    sheet.save(buffer, format="PNG", pnginfo=about)
    io.write_bytes(path, buffer.getvalue())


def _tile(image: Tensor) -> Image.Image:
    """The image as large as it goes into a square of TILE, its sides in proportion."""
    picture = Image.fromarray(image.expand(*image.shape[:2], 3).contiguous().numpy())
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    tile = Image.new("RGB", (TILE, TILE), "white")
    # Nearest: the pixels of a trigger are what is looked at.
    drawn = picture.resize(size, Image.Resampling.NEAREST)
    tile.paste(drawn, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return tile
