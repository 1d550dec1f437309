"""What an attack is, and the table of attacks by name."""

from __future__ import annotations

import importlib
import os
import pkgutil
import typing
from abc import ABC, abstractmethod
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from fctfast.data import ImageSet
from fctfast.train import Progress
from fctfast.train.strict import convert, knows

Kind = Literal["all2one", "all2all", "clean-label"]
KINDS: tuple[Kind, ...] = ("all2one", "all2all", "clean-label")
Form = Literal["patch", "blend"]
FORMS: tuple[Form, ...] = ("patch", "blend")
"""Pixels of a small place, or of the whole image."""


class Attack(ABC):
    """A trigger and the way its samples are labelled. Subclasses are frozen dataclasses."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    form: ClassVar[Form]
    visible: ClassVar[bool] = True  # to a person who looks at the image
    sample_specific: ClassVar[bool] = False  # each image has a trigger of its own
    needs_model: ClassVar[bool] = False  # the training trigger; see :meth:`prepared`
    test_needs_model: ClassVar[bool] = False  # the test trigger, too; see :meth:`keep`
    summary: ClassVar[str]
    source: ClassVar[str]

    def apply(self, images: Tensor, *, train: bool) -> Tensor:
        """Put the trigger on every image.

        Args:
            images: uint8 [N, H, W, C], C 1 or 3; left as it is.
            train: True for the trigger of the poisoned training samples, False for the one used
                against the trained model (some attacks differ).

        Returns:
            New uint8 tensor of the same shape.

        Raises:
            TypeError: images is not a uint8 tensor.
            ValueError: images is not [N, H, W, C] with 1 or 3 channels, or too small.
        """
        if not isinstance(images, Tensor) or images.dtype != torch.uint8:
            got = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise TypeError(f"{self.name}: expected images as a uint8 tensor, got {got}")
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(
                f"{self.name}: expected images [N, H, W, C] with 1 or 3 channels, "
                f"got {list(images.shape)}; for NCHW use images.permute(0, 2, 3, 1)"
            )
        return self.trigger(images, train=train)

    @abstractmethod
    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """The attack itself: called by :meth:`apply` with checked images."""

    def prepared(
        self, clean: ImageSet, *, target: int, seed: int, progress: Progress | None = None
    ) -> Attack:
        """Learn from the clean set what the training trigger needs; most attacks need nothing.

        Args:
            clean: the set before it is poisoned.
            target: the target class.
            seed: of whatever is random.
            progress: where to report.

        Returns:
            An attack that can be applied with train=True (and train=False, if `test_needs_model`).
        """
        return self

    def keep(self, folder: Path) -> dict[str, str]:
        """Write beside a poisoned set what the test trigger needs; most attacks need nothing.

        Args:
            folder: of the poisoned set.

        Returns:
            Option -> name of a file in that folder. :func:`fctfast.attacks.recipe_attack` gives
            the option that file wherever the folder is by then.
        """
        return {}

    def measured(self) -> dict[str, float]:
        """What :meth:`prepared` measured of what it learnt; a recipe stores it."""
        return {}

    @classmethod
    def traits(cls) -> tuple[str, ...]:
        """Form, visibility, labels and dependence on the image, in the words of section 4.1."""
        return (
            cls.form,
            "visible" if cls.visible else "invisible",
            "clean label" if cls.kind == "clean-label" else f"dirty label ({cls.kind})",
            "sample-specific" if cls.sample_specific else "sample-agnostic",
        )

    def options(self) -> dict[str, Any]:
        """The attack's options, as a recipe stores them: values that JSON can hold."""
        return {f.name: getattr(self, f.name) for f in _options_of(type(self))}


AttackType = TypeVar("AttackType", bound=type[Attack])
_ATTACKS: dict[str, type[Attack]] = {}


def register(cls: AttackType) -> AttackType:
    """Class decorator: make an attack available by its name.

    Args:
        cls: subclass of :class:`Attack` with name, kind, form, summary and source.

    Returns:
        The class itself.

    Raises:
        TypeError: the class is no Attack, or lacks one of those attributes.
        ValueError: the name is taken by another class, or kind or form is none.
    """
    missing = [a for a in ("name", "kind", "form", "summary", "source") if not hasattr(cls, a)]
    if not issubclass(cls, Attack) or missing:
        raise TypeError(
            f"register: expected a subclass of Attack with name, kind, form, summary and source, "
            f"got {cls.__name__}" + (f" without {', '.join(missing)}" if missing else "")
        )
    known = _ATTACKS.get(cls.name)
    if known is not None and known.__qualname__ != cls.__qualname__:
        raise ValueError(f"register: attack {cls.name!r} is already {known.__qualname__}")
    if cls.kind not in KINDS:
        raise ValueError(f"register: expected kind in {KINDS}, got {cls.kind!r}")
    if cls.form not in FORMS:
        raise ValueError(f"register: expected form in {FORMS}, got {cls.form!r}")
    _ATTACKS[cls.name] = cls
    return cls


def _options_of(cls: type[Attack]) -> list[Field[Any]]:
    """Dataclass fields that a user sets and a recipe stores."""
    every: tuple[Field[Any], ...] = fields(cls) if is_dataclass(cls) else ()
    return [f for f in every if f.metadata.get("option", True)]


def _load_all() -> None:
    """Import every file of this folder once; each registers what it defines."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"fctfast.attacks.{module.name}")


def names() -> list[str]:
    """Names of all attacks, sorted."""
    _load_all()
    return sorted(_ATTACKS)


def get(name: str, **options: Any) -> Attack:
    """Make an attack.

    Args:
        name: one of :func:`names`.
        options: the attack's own options (its dataclass fields).

    Returns:
        The attack.

    Raises:
        ValueError: no such attack, the attack has no such option, or its value is of another type
            or out of range.
    """
    _load_all()
    if name not in _ATTACKS:
        raise ValueError(f"attack: expected one of {', '.join(sorted(_ATTACKS))}, got {name!r}")
    cls = _ATTACKS[name]
    known = {f.name for f in _options_of(cls)}
    unknown = sorted(set(options) - known)
    if unknown:
        has = ", ".join(sorted(known)) or "no options"
        raise ValueError(f"attack {name}: unknown option {', '.join(unknown)}; it has {has}")
    return cls(**_converted(cls, options))


def _converted(cls: type[Attack], options: dict[str, Any]) -> dict[str, Any]:
    """Options in the types of their fields; those of types that `convert` does not know as given.

    Raises:
        ValueError: a value of another type.
    """
    try:
        hints = typing.get_type_hints(cls)
    except NameError:  # of a module that imports the names of its annotations for checkers alone
        return options
    made = {}
    for option, given in options.items():
        hint = hints[option]
        is_text = isinstance(given, os.PathLike) and str in (hint, *typing.get_args(hint))
        value = os.fspath(given) if is_text else given
        where = f"attack {cls.name}: option {option}"
        made[option] = convert(hint, value, where) if knows(hint) else value
    return made
