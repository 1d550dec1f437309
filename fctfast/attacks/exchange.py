"""Poisoned samples as PNG files, in the layout that BackdoorBench keeps them in.

``bd_train_dataset/<true label>/<id>.png``, and beside it ``bd_train_dataset.csv`` with the columns
id, path, label (what the attacker wants) and true_label. BackdoorBench itself has its table inside
a pickle, which is not read here: without the CSV the labels follow from the kind of the attack.
"""

from __future__ import annotations

import csv
import io as memory
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fctfast import io
from fctfast.attacks.poisoning import Poisoned
from fctfast.attacks.registry import Kind
from fctfast.attacks.selection import attacked_labels
from fctfast.data import ImageSet
from fctfast.data.decode_pool import BadFile, decode_stream

FOLDER, TABLE = "bd_train_dataset", "bd_train_dataset.csv"
COLUMNS = ("id", "path", "label", "true_label")
IMPORTED = "imported"
"""In the place of the attack's name in a recipe."""


def export_png(poisoned: Poisoned, folder: str | Path) -> Path:
    """Write the poisoned samples as PNG files and their table, the table last.

    Args:
        poisoned: from :func:`fctfast.attacks.poison`.
        folder: the images go to ``bd_train_dataset`` inside it.

    Returns:
        Path of the table.

    Raises:
        FileExistsError: the folder holds such a table already.
    """
    folder = Path(folder)
    table = folder / TABLE
    if table.exists():
        raise FileExistsError(f"export: {table} is there already; choose another folder")
    text = memory.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    data = poisoned.image_set
    for row in poisoned.poisoned_mask.nonzero().flatten().tolist():
        number, true = int(data.ids[row]), int(poisoned.true_labels[row])
        path = f"{FOLDER}/{true}/{number}.png"
        picture = memory.BytesIO()
        Image.fromarray(data.images[row].squeeze(-1).numpy()).save(picture, format="PNG")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        io.write_bytes(folder / path, picture.getvalue())
        writer.writerow([number, path, int(data.labels[row]), true])
    io.write_text(table, text.getvalue())
    return table


def import_png(
    clean: ImageSet, folder: str | Path, *, kind: Kind = "all2one", target: int = 0
) -> Poisoned:
    """Put poisoned samples from PNG files in the place of a clean set's.

    Files are decoded as untrusted ones, in a process that may die; no pickle is read.

    Args:
        clean: the set they were made from; ids are the files' names.
        folder: holds ``bd_train_dataset``.
        kind: of the attack; gives the labels where there is no table.
        target: the target class, likewise.

    Returns:
        The poisoned set, its truth, and a recipe that says where it came from.

    Raises:
        FileNotFoundError: no such folder, or no PNG file in it.
        ValueError: a file that cannot be decoded, of another size, of an id that the set does not
            have or whose folder is not its label; a table that does not fit.
    """
    folder = Path(folder)
    files = {int(p.stem): p for p in _files(folder)}
    if not files:
        raise FileNotFoundError(f"import: expected {folder / FOLDER}/LABEL/ID.png, found none")
    ids = torch.tensor(sorted(files))
    unknown = ids[~torch.isin(ids, clean.ids)]
    if len(unknown):
        raise ValueError(f"import: id {int(unknown[0])} is not in {clean.name}; is it another set?")
    rows = clean.positions(ids)
    folders = torch.tensor([int(files[i].parent.name) for i in ids.tolist()])
    wrong = (folders != clean.labels[rows]).nonzero().flatten()
    if len(wrong):
        number = int(ids[wrong[0]])
        raise ValueError(
            f"import: {files[number]} lies in the folder of label {int(folders[wrong[0]])}, but "
            f"sample {number} of {clean.name} has label {int(clean.labels[rows[wrong[0]]])}"
        )
    labels = clean.labels.clone()
    labels[rows] = _labels(folder, ids, clean, rows, kind, target)
    images = clean.images.clone()
    images[rows] = _decoded(files, ids, clean)
    mask = torch.zeros(len(clean), dtype=torch.bool)
    mask[rows] = True
    made = clean.with_images(images, labels)
    recipe = {
        "attack": IMPORTED, "options": {}, "kind": kind, "target": target,
        "poisoned": len(ids), "samples": len(clean), "source": clean.name,
        "source_fingerprint": clean.fingerprint(), "fingerprint": made.fingerprint(),
    }  # fmt: skip
    return Poisoned(made, mask, clean.labels.clone(), recipe)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted((folder / FOLDER).glob("*/*.png")):
        if not (path.stem.isdecimal() and path.parent.name.isdecimal()):
            raise ValueError(f"import: expected {FOLDER}/LABEL/ID.png, whole numbers, got {path}")
        yield path


def _labels(
    folder: Path, ids: Tensor, clean: ImageSet, rows: Tensor, kind: Kind, target: int
) -> Tensor:
    """The attacker's labels: of the table if there is one, else by the kind of the attack."""
    table = folder / TABLE
    if not table.exists():
        return attacked_labels(
            clean.labels[rows], kind=kind, target=target, num_classes=clean.num_classes
        )
    with table.open(newline="", encoding="utf-8") as text:
        try:
            known = {int(row["id"]): int(row["label"]) for row in csv.DictReader(text)}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"import: {table} is no table of {', '.join(COLUMNS)}") from error
    missing = [i for i in ids.tolist() if i not in known]
    outside = [label for label in known.values() if not 0 <= label < clean.num_classes]
    if missing or outside:
        what = f"id {missing[0]} is not in it" if missing else f"label {outside[0]} is no class"
        raise ValueError(f"import: {table} does not fit the files: {what}")
    return torch.tensor([known[i] for i in ids.tolist()])


def _decoded(files: dict[int, Path], ids: Tensor, clean: ImageSet) -> Tensor:
    out = torch.empty((len(ids), *clean.images.shape[1:]), dtype=torch.uint8)
    jobs = ((place, files[i].read_bytes()) for place, i in enumerate(ids.tolist()))
    for place, made in decode_stream(jobs):
        path = files[int(ids[place])]
        if isinstance(made, BadFile):
            raise ValueError(f"import: {path} cannot be decoded: {made.reason}")
        if made.shape[:2] != out.shape[1:3]:
            raise ValueError(
                f"import: expected pictures of {out.shape[1]} x {out.shape[2]} as in {clean.name}, "
                f"got {made.shape[0]} x {made.shape[1]}: {path}"
            )
        pixels: np.ndarray = made[..., : out.shape[3]]  # grey: three channels alike
        out[place] = torch.from_numpy(pixels.copy())
    return out
