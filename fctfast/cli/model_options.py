"""Options that name a network, and opening it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import nn

    from fctfast.models import ModelInfo

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Weights: a checkpoint of fctfast, or with --model any .safetensors, .pt or .pth "
        "(read as weights only).",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Network of --checkpoint if the file does not say: resnet18, torchvision:NAME or "
        "timm:NAME.",
    ),
]
NumClasses = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Classes of --model; default: the data's.")
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="Channel means of the training of --model, in 0..1."),
]
Std = Annotated[
    str | None, typer.Option(metavar="R,G,B", help="Channel standard deviations, as --mean.")
]


def channel_values(text: str | None, option: str) -> tuple[float, ...] | None:
    """Read "0.485,0.456,0.406".

    Args:
        text: what the user wrote, or None.
        option: for the message.

    Returns:
        The numbers, or None.

    Raises:
        ValueError: not numbers separated by commas.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(
            f"{option}: expected numbers separated by commas, such as 0.485,0.456,0.406, "
            f"got {text!r}"
        ) from None


def describes_itself(checkpoint: Path, model: str | None) -> tuple[nn.Module, ModelInfo] | None:
    """Open a checkpoint of fctfast, which needs no description.

    Args:
        checkpoint: the file.
        model: --model; given means that the file holds weights alone.

    Returns:
        The network and its description, or None when --model is given.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or it does not describe itself.
    """
    if model is not None:
        return None
    from fctfast.models import load_model

    try:
        return load_model(checkpoint)
    except ValueError as error:
        raise ValueError(f"{error} (on the command line: name the network with --model)") from error


def open_network(
    checkpoint: Path,
    model: str,
    *,
    num_classes: int,
    channels: int,
    image_size: tuple[int, int],
    width: int = 64,
) -> nn.Module:
    """Build a named network and fill it with weights.

    Args:
        checkpoint: the weights.
        model: name for ``create_model``.
        num_classes: logits.
        channels: of the images.
        image_size: (height, width).
        width: channels of the first stage, default 64.

    Returns:
        The network in evaluation mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown name, or the weights do not fit.
    """
    from fctfast.models import create_model, load_weights

    network = create_model(
        model, num_classes=num_classes, in_channels=channels, image_size=image_size, width=width
    )
    return load_weights(checkpoint, network).eval()


def statistics(
    mean: str | None, std: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Read --mean and --std, which come together.

    Raises:
        ValueError: only one was given, or not numbers.
    """
    values = channel_values(mean, "--mean"), channel_values(std, "--std")
    if values[0] is None and values[1] is None:
        return None
    if values[0] is None or values[1] is None:
        raise ValueError("--mean and --std: expected both or neither, got one")
    return values[0], values[1]
