"""Recipes: the settings of a whole run, written down in YAML.

A recipe is a file in ``fctfast/recipes/`` (or the user's own) with the sections ``data``,
``model``, ``probe`` (SD), ``split``, ``base`` and ``br`` (D-BR), ``extractor`` and ``classifier``
(D-ST). Each section is a frozen settings class written down; a key that the class does not have is
an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fctfast.train.settings import PRECISIONS
from fctfast.train.strict import build, check_keys

T = TypeVar("T")

SECTIONS = (
    "description",
    "data",
    "model",
    "probe",
    "split",
    "base",
    "br",
    "extractor",
    "classifier",
)


@dataclass(frozen=True)
class DataSettings:
    """Which images.

    Args:
        limit: take this many, drawn by the seed; None takes all.
        image_size: pixels a side; None leaves the images as they are.
        mean: normalisation, per channel in [0, 1] units; None measures it on the training images.
        std: normalisation, as ``mean``.
    """

    limit: int | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: give both or neither")
        for name in ("limit", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")


@dataclass(frozen=True)
class ModelSettings:
    """Which network.

    Args:
        name: for :func:`fctfast.models.create_model`.
        width: channels of the first stage.
        stem: ``auto``, ``small``, ``small-pool`` or ``imagenet``.
        pretrained: start base training from these weights: a file, or ``imagenet`` for
            torchvision's (downloaded); empty starts from random weights.
    """

    name: str = "resnet18"
    width: int = 64
    stem: str = "auto"
    pretrained: str = ""


@dataclass(frozen=True)
class SplitSettings:
    """How the scored set is split.

    Args:
        alpha_c: share of the samples taken as clean, D_c, or "auto": robust mode estimates it,
            published mode takes the paper's .2.
        alpha_p: share taken as poisoned, D_p, or "auto" likewise (.05).
        draws: draws of tau a sample.
        transforms: names of tau, "a" or "a+b" (see fctfast.detect.transforms); robust mode takes
            the one that tells most, published mode the first.
        snapshots: last passes of the probe that are compared; the most telling one counts.
        recompute_batch_norm: recompute batch-norm statistics before scoring.

    Source: paper section 4.1 (.2 and .05); docs/method.md (the guards).
    """

    alpha_c: float | str = "auto"
    alpha_p: float | str = "auto"
    draws: int = 4
    transforms: tuple[str, ...] = ("rotate+affine", "flip+crop")
    snapshots: int = 8
    recompute_batch_norm: bool = True

    def __post_init__(self) -> None:
        shares = [s for name in ("alpha_c", "alpha_p") if (s := self._share(name)) is not None]
        if sum(shares) > 1:
            raise ValueError(
                f"alpha_c + alpha_p: expected at most 1, got {self.alpha_c} + {self.alpha_p}"
            )
        if self.draws < 1 or self.snapshots < 1:
            raise ValueError("draws and snapshots: expected at least 1")

    def _share(self, name: str) -> float | None:
        value = getattr(self, name)
        if value == "auto":
            return None
        if isinstance(value, str) or not 0 < value < 1:
            raise ValueError(f"{name}: expected a share in (0, 1) or auto, got {value}")
        return float(value)


@dataclass(frozen=True)
class Recipe:
    """A recipe as read; sections of later rooms are built by :meth:`section`.

    Args:
        name: file name without its ending.
        description: one sentence.
        data: which images.
        model: which network, for the probe and the base model.
        split: how the scored set is split.
        raw: the file's content.
    """

    name: str
    description: str = ""
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    raw: Mapping[str, Any] = field(default_factory=dict)

    def section(self, name: str, kind: type[T], **fixed: Any) -> T:
        """Build the section ``name`` as ``kind``.

        Args:
            name: ``probe``, ``base``, ``br``, ``extractor`` or ``classifier``.
            kind: the settings class of that section.
            **fixed: fields that other sections decide, for example the width; the section must
                not hold them.

        Raises:
            ValueError: an unknown key, a wrong type or a value out of range.
        """
        where = f"recipe {self.name}: {name}"
        raw = self.raw.get(name) or {}
        if not isinstance(raw, Mapping):
            raise ValueError(f"{where}: expected keys and values, got {raw!r}")
        twice = sorted(raw.keys() & fixed.keys())
        if twice:
            raise ValueError(f"{where}: {', '.join(twice)} is set by the section model")
        return build(kind, {**raw, **fixed}, where)


def recipe_names() -> tuple[str, ...]:
    """List the recipes that ship with the package, sorted."""
    folder = resources.files("fctfast") / "recipes"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name: one of :func:`recipe_names`, or the path of a ``.yaml`` file.

    Raises:
        ValueError: unknown name, not YAML, or an unknown key (the message lists the known ones).
        FileNotFoundError: no such file.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise FileNotFoundError(f"recipe not found: {path}")
        text, title = path.read_text(encoding="utf-8"), path.stem
    elif str(name) in recipe_names():
        source = resources.files("fctfast") / "recipes" / f"{name}.yaml"
        text, title = source.read_text(encoding="utf-8"), str(name)
    else:
        raise ValueError(
            f"unknown recipe {str(name)!r}; known: {', '.join(recipe_names())}, or the path of a "
            ".yaml file"
        )
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {title}: not readable as YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise ValueError(f"recipe {title}: expected sections ({', '.join(SECTIONS)}), got {raw!r}")
    check_keys(raw, SECTIONS, f"recipe {title}")
    return Recipe(
        title,
        str(raw.get("description", "")),
        build(DataSettings, raw.get("data"), f"recipe {title}: data"),
        build(ModelSettings, raw.get("model"), f"recipe {title}: model"),
        build(SplitSettings, raw.get("split"), f"recipe {title}: split"),
        dict(raw),
    )


def with_precision(settings: T, precision: str) -> T:
    """Replace the precision of a section that has ``fit`` settings (for ``--amp``)."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {', '.join(PRECISIONS)}, got {precision!r}")
    fit = replace(settings.fit, precision=precision)  # type: ignore[attr-defined]
    return replace(settings, fit=fit)  # type: ignore[type-var]
