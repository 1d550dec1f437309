"""``open_dataset``: one way into every source."""

from __future__ import annotations

import os
from operator import index
from pathlib import Path

from fctfast.data.image_set import ImageSet
from fctfast.data.progress import ProgressCallback, terminal_progress
from fctfast.data.registry import sources
from fctfast.data.request import Request


def open_dataset(
    source: object,
    *,
    split: str = "train",
    image_size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: ProgressCallback = terminal_progress,
    workers: int | None = None,
) -> ImageSet:
    """Load a labelled image set from a name, a path or a dataset object.

    Nothing in the data is executed: pickles are taken apart without running them, and files are
    decoded in processes that may crash. A file that gives no image becomes a quarantined row that
    keeps its id.

    Args:
        source: "digits"; a folder of class folders, or one in a ``.zip`` (``file.zip`` or
            ``file.zip/inner/folder``), with or without ``train`` and ``test`` folders above the
            classes; torchvision's CIFAR folder (python or binary version); a ``.npz``; a folder
            with Fashion-MNIST's IDX files; a set that ``fctfast poison`` wrote; an ImageSet; or a
            map-style dataset whose items are (PIL or uint8 image, label).
        split: "train", "test" or "val"; a source without splits is "train". Default "train".
        image_size: one side or (height, width) in pixels: the shorter side is scaled
            (antialiased), then the centre is kept. Default: the images' own size.
        limit: draw this many samples at random, keyed by ``seed``; default all.
        seed: keys the draw; default 0.
        progress: shows how far loading is; default a bar on stderr if it is a terminal.
        workers: processes that decode image files; default one a core.

    Returns:
        The images with their ids, labels, class names and quarantined rows.

    Raises:
        FileNotFoundError: there is nothing at that path, or not that split.
        TypeError: the source or its items are of no kind that is read here.
        ValueError: the source is empty, has one class, is damaged, needs ``image_size``, or would
            not fit in memory.

    Example:
        >>> open_dataset("digits", limit=100)
        ImageSet('digits train': 100 images 32x32x3, 10 classes)
    """
    if isinstance(image_size, tuple | list):
        size: tuple[int, int] | None = (index(image_size[0]), index(image_size[1]))
    else:
        size = None if image_size is None else (index(image_size), index(image_size))
    request = Request(split, size, limit, seed, progress, workers)
    if isinstance(source, str | os.PathLike):
        source = _named_or_path(source)
    for candidate in sources():
        if candidate.accepts(source):
            opened = candidate.opens(source, request)
            _require_usable(opened)
            return opened
    raise _unknown(source)


def _named_or_path(source: str | os.PathLike[str]) -> str | Path:
    path = Path(source).expanduser()
    # A name wins only over nothing: a folder called "digits" is the folder when written ./digits.
    if isinstance(source, str) and source in {known.name for known in sources()}:
        return source
    if not path.exists() and not any(parent.is_file() for parent in path.parents):
        raise FileNotFoundError(
            f"no such data set: {source} (looked in {Path.cwd()}); expected the name 'digits', "
            "a folder of class folders, a .zip or .npz file"
        )
    return path


def _require_usable(opened: ImageSet) -> None:
    if not len(opened):
        bad = opened.quarantined
        first = f"; the first: {bad[0].path or bad[0].id}: {bad[0].error}" if bad else ""
        raise ValueError(f"{opened.name}: no image could be read ({len(bad)} quarantined{first})")
    if opened.num_classes < 2:
        raise ValueError(
            f"{opened.name}: found one class ({opened.class_names[0]!r}), and telling poisoned "
            "from clean samples needs at least two; expected <folder>/<class>/<image> with two or "
            "more class folders"
        )


def _unknown(source: object) -> Exception:
    listed = "; ".join(f"{known.name}: {known.description}" for known in sources())
    if isinstance(source, Path):
        kind = "folder" if source.is_dir() else "file"
        return ValueError(f"{source}: this {kind} is no data set that is read here ({listed})")
    return TypeError(
        f"expected a name, a path or a dataset of (image, label) with a length, got "
        f"{type(source).__name__} ({listed})"
    )
