"""What detect, dbr and demo share: opening data, recipes, and the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fctfast.data import ImageSet

Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Settings: digits, cifar10-cpu, cifar10, cifar100, imagenet-subset, or a YAML file; "
        "default: chosen by the data and the device.",
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Network to train; default: the recipe's.")
]
Width = Annotated[
    int | None, typer.Option(min=1, help="Channels of its first stage; default: the recipe's.")
]
TrainBatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", "-b", min=2, help="Images a step; default: the recipe's."),
]


def open_data(
    data_dir: str,
    split: str,
    image_size: int | None,
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
