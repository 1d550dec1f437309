"""Opening data, and the run folders of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fctfast.cli import common

if TYPE_CHECKING:
    from fctfast.data import ImageSet
    from fctfast.train import RunFolder


def open_data(
    data_dir: str,
    split: str,
    image_size: int | tuple[int, int] | None,
    limit: int | None,
    *,
    seed: int,
    workers: int | None,
    quiet: bool,
) -> ImageSet:
    """Open a data set as the options say, with progress on stderr."""
    from fctfast.data import open_dataset
    from fctfast.train import make_progress

    return open_dataset(
        data_dir,
        split=split,
        image_size=image_size,
        limit=limit,
        seed=seed,
        progress=make_progress(quiet=quiet),
        workers=workers,
    )


def default_out(command: str, data_dir: str) -> Path:
    """The run folder when --out is not given: the same command finds it again and goes on."""
    return Path("runs") / f"{command}-{common.data_name(data_dir)}"


def earlier_detection(run_folder: Path) -> Path:
    """The folder of a finished detection, which may lie inside a run folder of dbr or dst.

    Raises:
        FileNotFoundError: there is none.
    """
    from fctfast.defend import find_detection

    found = find_detection(run_folder)
    if found is None:
        raise FileNotFoundError(f"--detection: {run_folder} holds no finished detection")
    return found


def refuse_what_detection_decides(*, mode: str, **options: object) -> None:
    """Raise ValueError where an option would change a detection that is finished."""
    given = {"mode": mode if mode == "published" else None, **options}
    asked = [
        f"--{name.replace('_', '-')} {value}" for name, value in given.items() if value is not None
    ]
    if asked:
        raise ValueError(
            f"--detection: that detection is finished, and {', '.join(asked)} would change "
            "nothing; leave out one or the other"
        )


def content(file: Path | None) -> str:
    """Name a file by content: a run must not go on with another one under the same name."""
    from fctfast import io

    return "" if file is None else io.sha256_file(file)


@contextmanager
def opened(
    out: Path, command: str, config: Any, facts: dict[str, Any], *, seed: int, data: ImageSet
) -> Iterator[RunFolder]:
    """Open the run folder, locked, with everything that decides the result in its run.json.

    Args:
        out: the folder.
        command: its name.
        config: frozen settings.
        facts: further settings.
        seed: the run's seed.
        data: the images.

    Yields:
        The run folder.

    Raises:
        ValueError: the folder holds another run or is in use.
    """
    from fctfast.train import RunFolder

    settings = {**facts, "config": asdict(config)}
    with RunFolder(
        out, command=command, settings=settings, seed=seed, data=data.fingerprint()
    ) as run:
        yield run
