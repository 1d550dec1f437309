"""What a step of tau is, and the table of steps by name."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from fctfast.ops import sample_rotate_affine
from fctfast.seeding import derive_seed


class Step(ABC):
    """One transformation of uint8 images; it holds no state."""

    name: ClassVar[str]

    @abstractmethod
    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """Draw what differs between samples and draws, a function of (seed, id, draw) alone.

        Args:
            ids: int64 [N].
            seed: key of the random numbers; differs between the two steps of a pair.
            draws: K.
            size: (height, width) in pixels.

        Returns:
            float32 [K, N, P], P numbers for each use of the step (0 where there is no choice).
        """

    @abstractmethod
    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """Transform a batch.

        Args:
            images: uint8 [B, H, W, C] on any device; left as it is.
            params: float32 [B, P] on the CPU, rows of what :meth:`draw` gave.

        Returns:
            uint8 [B, H, W, C].
        """


StepType = TypeVar("StepType", bound=type[Step])
_STEPS: dict[str, Step] = {}


def register(cls: StepType) -> StepType:
    """Class decorator: make a step available by its name.

    Raises:
        ValueError: the name is taken, or holds a plus sign.
    """
    if "+" in cls.name or cls.name in _STEPS:
        raise ValueError(f"register: expected a new name without '+', got {cls.name!r}")
    _STEPS[cls.name] = cls()
    return cls


def steps() -> dict[str, Step]:
    """All steps by name, in the paper's order of Appendix C.5 as far as it goes."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"fctfast.detect.transforms.{module.name}")
    papers = ("rotate", "affine", "flip", "crop", "blur", "erase")
    return {name: _STEPS[name] for name in (*papers, *sorted(set(_STEPS) - set(papers)))}


def names() -> tuple[str, ...]:
    """Names of all steps; any two of them, joined by a plus sign, are a transformation, too."""
    return tuple(steps())


def uniform(ids: Tensor, seed: int, draws: int, purpose: str, count: int) -> Tensor:
    """Draw uniform numbers for samples and draws.

    Args:
        ids: int64 [N].
        seed: key.
        draws: K.
        purpose: what they are for; another one gives other numbers.
        count: numbers for each sample and draw.

    Returns:
        float32 [K, N, count] in [0, 1), with 24 random bits each (Philox keyed by seed, id, draw).
    """
    columns = [
        # An angle is such a number, stretched to [-180, 180).
        sample_rotate_affine(
            ids, derive_seed(seed, purpose, number), range(draws), 180.0, (0.0, 0.0), (1, 1)
        )[..., 0]
        for number in range(count)
    ]
    if not columns:
        return torch.empty(draws, ids.numel(), 0)
    return ((torch.stack(columns, -1) + 180.0) / 360.0).clamp(0.0, 1.0 - 2.0**-24)
