"""Naming an attack on the command line: its options, a picture of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fctfast.attacks import Attack

Option = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the attack; may be repeated."),
]
TriggerImage = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Picture for an attack that blends one in."),
]


def named_attack(name: str, pairs: list[str] | None, trigger_image: Path | None = None) -> Attack:
    """Make the attack that the user named.

    Args:
        name: one of :func:`fctfast.attacks.names`.
        pairs: of --option, KEY=VALUE; a value is JSON if it can be read so, else text.
        trigger_image: of --trigger-image: the option `image` by another name.

    Returns:
        The attack.

    Raises:
        ValueError: a pair is none, the attack takes no picture or gets two, or as
            :func:`fctfast.attacks.get`.
    """
    from fctfast import attacks

    options = _options(pairs)
    if trigger_image is not None:
        if "image" not in attacks.get(name).options():
            raise ValueError(
                f"--trigger-image: {name} blends no picture in; use --attack blend-kitty"
            )
        if "image" in options:
            raise ValueError("--trigger-image and --option image: give one of them")
        options["image"] = str(trigger_image)
    return attacks.get(name, **options)


def _options(pairs: list[str] | None) -> dict[str, Any]:
    options = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"--option: expected KEY=VALUE, got {pair!r}")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
