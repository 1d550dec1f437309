"""The suspicious samples for a person: a list to work through and a sheet of pictures."""

from __future__ import annotations

import csv
import io as memory
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect import Scores, Split

TILE, CAPTION, GAP, COLUMNS = 112, 34, 10, 8
INK, QUIET = "#1f2933", "#7b8794"


def save_suspicious_list(
    path: str | Path, scores: Scores, split: Split, class_names: tuple[str, ...]
) -> None:
    """Write D_p as CSV, the most suspicious sample first.

    Columns: rank, id, path, label, class, fct.

    Args:
        path: file to write.
        scores: of every sample.
        split: of the same scores.
        class_names: names of the labels.
    """
    text = memory.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "id", "path", "label", "class", "fct"])
    for rank, position in enumerate(_positions(scores, split), start=1):
        label = int(scores.labels[position])
        name = scores.paths[position] if scores.paths else ""
        number = int(scores.ids[position])
        value = float(scores.fct[position])
        writer.writerow([rank, number, name, label, class_names[label], f"{value:.6g}"])
    io.write_text(path, text.getvalue())


def save_contact_sheet(
    path: str | Path, data: ImageSet, scores: Scores, split: Split, *, count: int = 40
) -> None:
    """Draw the most suspicious samples, with their labels and scores.

    A trigger that many of them share is seen at a glance.

    Args:
        path: PNG file to write.
        data: the images.
        scores: of every sample.
        split: of the same scores; at least one sample in D_p.
        count: how many samples at most, default 40.

    Raises:
        ValueError: D_p is empty.
    """
    positions = _positions(scores, split)[:count]
    if not positions:
        raise ValueError("contact sheet: no sample is flagged; raise alpha_p")
    rows = -(-len(positions) // COLUMNS)
    step_x, step_y = TILE + GAP, TILE + CAPTION
    columns = min(COLUMNS, len(positions))
    size = (max(columns * step_x + GAP, 420), rows * step_y + GAP + 30)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    title = f"The {len(positions)} most suspicious of {len(scores):,} samples, as labelled"
    draw.text((GAP, GAP), title, fill=INK, font=ImageFont.load_default(15))
    where = data.positions(scores.ids[torch.tensor(positions)]).tolist()
    for place, (position, row) in enumerate(zip(positions, where, strict=True)):
        left = GAP + (place % COLUMNS) * step_x
        top = GAP + 30 + (place // COLUMNS) * step_y
        tile = _tile(data.images[row].numpy())
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        label = data.class_names[int(scores.labels[position])]
        caption = f"as {label}" if len(label) <= 14 else f"as {label[:13]}…"
        draw.text((left, top + TILE + 2), caption, fill=INK, font=ImageFont.load_default(12))
        facts = f"id {int(scores.ids[position])}  FCT {float(scores.fct[position]):.3g}"
        draw.text((left, top + TILE + 15), facts, fill=QUIET, font=ImageFont.load_default(10))
    buffer = memory.BytesIO()
    sheet.save(buffer, format="PNG")
    io.write_bytes(path, buffer.getvalue())


def _positions(scores: Scores, split: Split) -> list[int]:
    """Rows of D_p in scores, the most suspicious first."""
    row_of = {number: row for row, number in enumerate(scores.ids.tolist())}
    return [row_of[number] for number in reversed(split.poisoned.tolist())]


def _tile(image: np.ndarray) -> Image.Image:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("RGB")
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Nearest when enlarging: a trigger of single pixels must stay sharp.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return picture.resize(size, how)
