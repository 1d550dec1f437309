"""Class folders, on disk or in a .zip: find the split, number the rows, decode them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch

from fctfast.data.decode import SUFFIXES
from fctfast.data.decode_pool import BadFile, Job, Pixels, decode_stream, default_workers
from fctfast.data.image_set import ImageSet, Quarantined
from fctfast.data.memory import require_memory
from fctfast.data.request import Request
from fctfast.data.stores import Child, Prefix, Store, shown_path

_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "val", "valid", "validation"),
    "val": ("val", "valid", "validation", "test", "testing"),
}
_SPLIT_NAMES = {name for names in _SPLITS.values() for name in names}


@dataclass(frozen=True)
class Row:
    """One image file of a class folder, good or bad; its id is its place in the sorted list.

    Args:
        prefix: the folder it is in.
        child: its entry there.
        label: its class.
    """

    prefix: Prefix
    child: Child
    label: int

    @property
    def path(self) -> str:
        """What to show a person."""
        return shown_path(self.prefix, self.child.name)


def open_class_folders(store: Store, request: Request) -> ImageSet:
    """Load the images of a tree of class folders.

    Rows are ordered by class folder, then by path inside it, and numbered counting every file that
    looks like an image, readable or not.

    Args:
        store: the tree.
        request: the options.

    Returns:
        RGB images, with bad files quarantined.

    Raises:
        FileNotFoundError: the tree has no such split.
        ValueError: no class folders, no images, images of different sizes, or too many for the
            memory.
    """
    root, classes, class_names = _find_classes(store, request.split)
    rows, others = _list_rows(store, root, classes, class_names)
    if not rows:
        seen = ", ".join(f"{count} x {end or 'no ending'}" for end, count in others.most_common(5))
        raise ValueError(
            f"{store.name}: no images in its {len(classes)} class folders; expected files that end "
            f"in {', '.join(SUFFIXES)}, found {seen or 'no files'}"
        )
    return _decode(store, request, rows, class_names)


def _visible_folders(store: Store, prefix: Prefix) -> list[str]:
    return sorted(
        child.name
        for child in store.children(prefix)
        if child.kind == "folder" and not child.name.startswith((".", "__MACOSX"))
    )


def _find_classes(store: Store, split: str) -> tuple[Prefix, list[str], tuple[str, ...]]:
    """Find the folder that holds the split's class folders, and the names of all classes."""
    root: Prefix = ()
    folders = _visible_folders(store, root)
    while len(folders) == 1 and folders[0] not in _SPLIT_NAMES:
        below = _visible_folders(store, (*root, folders[0]))
        if not below:
            break
        root, folders = (*root, folders[0]), below
    if not folders:
        loose = sum(_is_image(child.name) for child in store.children(root))
        raise ValueError(
            f"{store.name}: found {loose} images and no class folders; expected "
            "<folder>/<class>/<image>, one folder a class"
        )
    if not set(folders) <= _SPLIT_NAMES:
        # A folder called test, named by the user, is the test split though nothing lies above it.
        if split != "train" and PurePosixPath(store.name).name not in _SPLITS[split]:
            raise FileNotFoundError(
                f"{store.name}: asked for the split {split!r}, found class folders and no splits "
                f"({_some(folders)}); to read them as they stand use --split train (split='train')"
            )
        return root, folders, _class_names(folders)
    chosen = next((name for name in _SPLITS[split] if name in folders), None)
    if chosen is None:
        raise FileNotFoundError(
            f"{store.name}: no split {split!r}: expected a folder called "
            f"{' or '.join(_SPLITS[split])}, found {_some(folders)}"
        )
    # Labels number the classes of all splits, so that train and test agree about them.
    every = {name for part in folders for name in _visible_folders(store, (*root, part))}
    classes = _visible_folders(store, (*root, chosen))
    if not classes:
        raise ValueError(
            f"{store.name}: {shown_path(root, chosen)} holds no class folders; expected "
            "<split>/<class>/<image>"
        )
    return (*root, chosen), classes, _class_names(sorted(every))


def _class_names(folders: list[str]) -> tuple[str, ...]:
    return tuple(shown_path((), name) for name in folders)


def _list_rows(
    store: Store, root: Prefix, classes: list[str], class_names: tuple[str, ...]
) -> tuple[list[Row], Counter[str]]:
    others: Counter[str] = Counter()
    label_of = {name: label for label, name in enumerate(class_names)}
    rows: list[Row] = []
    for folder in classes:
        label = label_of[shown_path((), folder)]
        found = list(_walk(store, (*root, folder), label, others))
        rows += sorted(found, key=lambda row: "/".join((*row.prefix, row.child.name)))
    return rows, others


def _walk(store: Store, top: Prefix, label: int, others: Counter[str]) -> Iterator[Row]:
    waiting = [top]  # not recursion: a tree may be deeper than Python's stack
    while waiting:
        prefix = waiting.pop()
        for child in store.children(prefix):
            if child.name.startswith((".", "__MACOSX")) and child.kind != "bad":
                continue
            if _is_image(child.name):
                if child.kind == "folder":
                    child = Child(child.name, "bad", "a folder, not an image")  # noqa: PLW2901
                yield Row(prefix, child, label)
            elif child.kind == "folder":
                waiting.append((*prefix, child.name))
            else:
                others[PurePosixPath(child.name).suffix.lower()] += 1


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _decode(
    store: Store, request: Request, rows: list[Row], class_names: tuple[str, ...]
) -> ImageSet:
    chosen: list[int] = request.rows(len(rows)).tolist()

    def jobs() -> Iterator[Job]:
        for place, number in enumerate(chosen):
            child = rows[number].child
            bad = child.kind == "bad"
            yield place, BadFile(child.problem) if bad else store.read(rows[number].prefix, child)

    if request.image_size is not None:
        require_memory(store.name, len(chosen), (*request.image_size, 3))
    images: torch.Tensor | None = None
    first = 0
    errors: dict[int, str] = {}
    workers = request.workers or default_workers(len(chosen))
    decoded = decode_stream(jobs(), size=request.image_size, workers=workers)
    # Closed by name: the traceback of an error would keep the processes alive as long as itself.
    with closing(decoded):
        for place, result in request.progress(decoded, len(chosen), f"decoding {store.name}"):
            if isinstance(result, BadFile):
                errors[place] = result.reason
                continue
            if images is None:
                shape = (result.shape[0], result.shape[1], 3)
                sized = f"{store.name} (sized as {rows[chosen[place]].path})"
                require_memory(sized, len(chosen), shape)
                images, first = torch.empty(len(chosen), *shape, dtype=torch.uint8), place
            if result.shape != images.shape[1:]:
                raise _different_sizes(
                    store.name, rows[chosen[first]], images, rows[chosen[place]], result
                )
            images.numpy()[place] = result
    kept = [place for place in range(len(chosen)) if place not in errors]
    if images is None:
        images = torch.empty(len(chosen), 1, 1, 3, dtype=torch.uint8)
    pixels = images.numpy()
    for position, place in enumerate(kept if errors else ()):
        pixels[position] = pixels[place]  # closing the gaps in place: a copy might not fit
    ids = torch.tensor(chosen, dtype=torch.int64)
    return ImageSet(
        ids=ids[kept],
        images=images[: len(kept)],
        labels=torch.tensor([rows[chosen[place]].label for place in kept], dtype=torch.int64),
        class_names=class_names,
        paths=tuple(rows[chosen[place]].path for place in kept),
        quarantined=tuple(
            Quarantined(chosen[place], rows[chosen[place]].path, rows[chosen[place]].label, reason)
            for place, reason in sorted(errors.items())
        ),
        name=store.name,
    )


def _different_sizes(
    name: str, first: Row, images: torch.Tensor, other: Row, pixels: Pixels
) -> ValueError:
    return ValueError(
        f"{name}: images differ in size: {first.path} is {images.shape[1]}x{images.shape[2]} "
        f"(height x width), {other.path} is {pixels.shape[0]}x{pixels.shape[1]}; bring them to "
        "one size with --image-size (image_size=), for example 224"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)} in all)" if len(names) > 5 else "")
