"""Options of detect, dbr and dst that name a recipe and override its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Settings: digits, cifar10-cpu, cifar10, cifar100, imagenet-subset, or a YAML file; "
        "default: chosen by the device, on all images.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PIXELS",
        help="Resize to a square; default: as they are, or as a recipe that is named says.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Use N images drawn with --seed; default: all, or as many as a recipe that is named "
        "says.",
    ),
]
Mode = Annotated[
    str, typer.Option(help="robust, or published (the paper's code: no guards and no verdict).")
]
AlphaC = Annotated[
    str | None,
    typer.Option(
        "--alpha-c",
        metavar="SHARE|auto",
        help="Share to keep as clean (D_c); auto: as much as looks clean (published: 0.2); "
        "default: the recipe's, auto.",
    ),
]
AlphaP = Annotated[
    str | None,
    typer.Option(
        "--alpha-p",
        metavar="SHARE|auto",
        help="Share to flag as poisoned (D_p); auto: the lower end of the estimated rate, nobody "
        "without evidence (published: 0.05); default: the recipe's, auto.",
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(min=1, help="Transformed views of each sample; default: the recipe's."),
]
TRANSFORM_HELP = "tau: rotate, affine, flip, crop, blur, erase, or two of them as a+b, a first"
Transform = Annotated[
    str | None,
    typer.Option(
        metavar="A+B",
        help=f"{TRANSFORM_HELP}; default: the clearest "
        "of the recipe's (published: the first), rotate+affine and flip+crop.",
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Network to train; default: the recipe's.")
]
Width = Annotated[
    int | None, typer.Option(min=1, help="Channels of its first stage; default: the recipe's.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        "-b",
        min=2,
        help="Images a step of the probe, and of the model that is trained after it (of D-ST: of "
        "stage 1); default: the recipe's.",
    ),
]
EarlierDetection = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Run folder of an earlier detect on the same data; --alpha-c and --alpha-p split it "
        "anew.",
    ),
]
