"""What an attack does to images, for a person to look at."""

from __future__ import annotations

import io as memory
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fctfast import io

TILE, GAP, HEAD = 160, 10, 30
INK = "#1f2933"


def save_preview(path: str | Path, clean: Tensor, triggered: Tensor, *, title: str) -> None:
    """Draw images, the same with the trigger, and the difference, side by side.

    The difference is grey where nothing changed; it is multiplied by what brings its largest value
    to full contrast, which the heading names.

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
    gain = 127 / max(1, int(change.abs().max()))
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
    sheet.save(buffer, format="PNG")
    io.write_bytes(path, buffer.getvalue())


def _tile(image: Tensor) -> Image.Image:
    pixels = image.expand(*image.shape[:2], 3).contiguous().numpy()
    # Nearest: the pixels of a trigger are what is looked at.
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.NEAREST)
