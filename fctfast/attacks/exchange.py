"""Poisoned samples as PNG files, in the layout that BackdoorBench keeps them in.

``bd_train_dataset/<true label>/<id>.png``, and beside it ``bd_train_dataset.csv`` with the columns
id, path, label (what the attacker wants), true_label, and kind and target of the attack.
BackdoorBench itself has its table inside a pickle, which is not read here: without the CSV the
labels follow from the attack's kind and target.
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
from fctfast.attacks.registry import KINDS, Kind
from fctfast.attacks.selection import attacked_labels
from fctfast.data import ImageSet
from fctfast.data.decode_pool import BadFile, decode_stream
from fctfast.data.stores import Child, FolderStore
from fctfast.train import Progress
from fctfast.train.progress import Quiet

FOLDER, TABLE = "bd_train_dataset", "bd_train_dataset.csv"
COLUMNS = ("id", "path", "label", "true_label")
NUMBERS = ("id", "label", "true_label")
ATTACK_COLUMNS = ("kind", "target")
"""The same in every row; tables without them are read, too."""

IMPORTED = "imported"
"""In the place of the attack's name in a recipe."""


def export_png(poisoned: Poisoned, folder: str | Path, *, progress: Progress | None = None) -> Path:
    """Write the poisoned samples as PNG files and their table, the table last.

    Args:
        poisoned: from :func:`fctfast.attacks.poison`.
        folder: the images go to ``bd_train_dataset`` inside it.
        progress: where to report; default nowhere.

    Returns:
        Path of the table.

    Raises:
        FileExistsError: the folder holds such images or such a table already.
    """
    folder = Path(folder)
    table = folder / TABLE
    for place in (table, folder / FOLDER):
        if place.exists():
            raise FileExistsError(
                f"export: {place} is there already; delete it or choose another folder"
            )
    text = memory.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, *ATTACK_COLUMNS))
    attack = [poisoned.recipe[name] for name in ATTACK_COLUMNS]
    data = poisoned.image_set
    rows = poisoned.poisoned_mask.nonzero().flatten().tolist()
    with (progress or Quiet()).task("pictures", len(rows), unit="image") as task:
        for row in rows:
            number, true = int(data.ids[row]), int(poisoned.true_labels[row])
            path = f"{FOLDER}/{true}/{number}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            # Not one by one through io: the table makes them whole, and it is written last.
            Image.fromarray(data.images[row].squeeze(-1).numpy()).save(folder / path, format="PNG")
            writer.writerow([number, path, int(data.labels[row]), true, *attack])
            task.advance()
    io.write_text(table, text.getvalue())
    return table


def import_png(
    clean: ImageSet, folder: str | Path, *, kind: Kind | None = None, target: int | None = None
) -> Poisoned:
    """Put poisoned samples from PNG files in the place of a clean set's.

    Files are decoded as untrusted ones, in a process that may die; no pickle is read.

    Args:
        clean: the set they were made from; ids are the files' names.
        folder: holds ``bd_train_dataset``.
        kind: of the attack; gives the labels where there is no table. Default: what the table's
            labels show.
        target: the target class, likewise.

    Returns:
        The poisoned set, its truth, and a recipe that says where it came from.

    Raises:
        FileNotFoundError: no such folder, or no PNG file in it.
        ValueError: a file that cannot be decoded, of another size, of an id that the set does not
            have, that another file has, too, or whose folder is not its label; a table that does
            not fit; no table, and no kind and target; labels that such an attack does not give.
    """
    folder = Path(folder)
    files: dict[int, Path] = {}
    for path in _files(folder):
        if (other := files.setdefault(int(path.stem), path)) is not path:
            raise ValueError(f"import: {other} and {path} are of the same sample; keep one")
    if not files:
        raise FileNotFoundError(f"import: expected {folder / FOLDER}/LABEL/ID.png, found none")
    unknown = sorted(files.keys() - set(clean.ids.tolist()))
    if unknown:
        raise ValueError(f"import: id {unknown[0]} is not in {clean.name}; is it another set?")
    ids = torch.tensor(sorted(files))
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
    wanted, kind, target = _labels(folder, ids, clean, rows, kind, target)
    labels[rows] = wanted
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
    folder: Path, ids: Tensor, clean: ImageSet, rows: Tensor, kind: Kind | None, target: int | None
) -> tuple[Tensor, Kind, int]:
    """The attacker's labels, of the table or by the kind of the attack; kind and target."""
    true, table = clean.labels[rows], folder / TABLE
    if not table.exists():
        if kind is None or target is None:
            raise ValueError(
                f"import: {folder} has no {TABLE}, so the labels follow from the attack and its "
                "target class: name both (--attack, --target)"
            )
        labels = attacked_labels(true, kind=kind, target=target, num_classes=clean.num_classes)
        if (kind, 0 if kind == "all2all" else target) not in _meant(
            labels, true, clean.num_classes
        ):
            held = sorted(set(true.tolist()))
            raise ValueError(
                f"import: a {kind} attack on class {target} has "
                + ("that class alone" if kind == "clean-label" else "other classes as well")
                + f" among its samples, but these are of class {', '.join(map(str, held))}: name "
                "the attack and its target class (--attack, --target)"
            )
        return labels, kind, target
    labels, said = _table_labels(table, ids, clean, true)
    kind, target = kind or said[0], said[1] if target is None else target
    fits = [
        (k, t)
        for k, t in _meant(labels, true, clean.num_classes)
        if kind in (None, k) and (target in (None, t) or k == "all2all")
    ]
    if len(fits) == 1:
        return labels, *fits[0]
    raise ValueError(
        f"import: the labels of {table} are those of "
        + ("several kinds of attack" if fits else "no attack of that kind and target class")
        + ": name the attack and its target class (--attack, --target)"
    )


def _table_labels(
    table: Path, ids: Tensor, clean: ImageSet, true: Tensor
) -> tuple[Tensor, tuple[Kind | None, int | None]]:
    """The labels of a table that is of exactly these files, and the attack that it names."""
    try:
        with table.open(newline="", encoding="utf-8") as text:
            read = list(csv.DictReader(text))
        rows = [tuple(int(row[c]) for c in NUMBERS) for row in read]
        ((kind, target),) = {(row.get("kind"), row.get("target")) for row in read}
        said = _kind(kind), None if target is None else int(target)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"import: {table} is no table of {', '.join(COLUMNS)}") from error
    known = {number: (label, was) for number, label, was in rows}
    real = dict(zip(ids.tolist(), true.tolist(), strict=True))
    problems = [f"id {i} is not in it" for i in real if i not in known]
    problems += [f"id {i} has no picture" for i in known if i not in real]
    problems += ["an id is in it twice"] * (len(known) < len(rows))
    if said[1] is not None and not 0 <= said[1] < clean.num_classes:
        problems.append(f"target {said[1]} is no class")
    for number, (label, was) in known.items():
        if not 0 <= label < clean.num_classes:
            problems.append(f"label {label} is no class")
        if was != real.get(number, was):
            problems.append(
                f"id {number} has true_label {was}, but label {real[number]} in {clean.name}"
            )
    if problems:
        raise ValueError(f"import: {table} does not fit the files: {problems[0]}")
    return torch.tensor([known[i][0] for i in ids.tolist()]), said


def _kind(text: str | None) -> Kind | None:
    for kind in KINDS:
        if text == kind:
            return kind
    if text is not None:
        raise ValueError(f"expected kind to be one of {', '.join(KINDS)}, got {text!r}")
    return None


def _meant(labels: Tensor, true: Tensor, num_classes: int) -> list[tuple[Kind, int]]:
    """Kind and target of the attacks that give these labels to these samples."""
    found: list[tuple[Kind, int]] = []
    first = int(labels[0])
    if bool((labels == first).all()):
        found.append(("clean-label" if bool((true == first).all()) else "all2one", first))
    if bool((labels == (true + 1) % num_classes).all()):
        found.append(("all2all", 0))
    return found


def _decoded(files: dict[int, Path], ids: Tensor, clean: ImageSet) -> Tensor:
    out = torch.empty((len(ids), *clean.images.shape[1:]), dtype=torch.uint8)
    store = FolderStore(files[int(ids[0])].parents[1])
    jobs = (
        (place, store.read((files[i].parent.name,), Child(files[i].name, "file")))
        for place, i in enumerate(ids.tolist())
    )
    for place, made in decode_stream(jobs):
        path = files[int(ids[place])]
        if isinstance(made, BadFile):
            raise ValueError(f"import: {path} cannot be decoded: {made.reason}")
        if made.shape[:2] != out.shape[1:3]:
            raise ValueError(
                f"import: expected pictures of {out.shape[1]} x {out.shape[2]} as in {clean.name}, "
                f"got {made.shape[0]} x {made.shape[1]}: {path}"
            )
        if out.shape[3] == 1 and not (made == made[..., :1]).all():
            raise ValueError(f"import: {clean.name} is grey, but {path} is in colour")
        pixels: np.ndarray = made[..., : out.shape[3]]  # grey: three channels alike
        out[place] = torch.from_numpy(pixels.copy())
    return out
