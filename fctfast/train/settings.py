"""How a network is trained, written down: frozen settings with the published defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEDULES = ("constant", "cosine", "multistep", "warmup-cosine")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class SGDSettings:
    """Stochastic gradient descent.

    Args:
        lr: learning rate before the schedule.
        momentum: share of the last update that is kept.
        weight_decay: L2 penalty, on every parameter as in the published code.
        nesterov: look ahead; needs momentum.
        clip_norm: gradients longer than this are shortened to it; None leaves them.

    Source: published code (SD: lr .01, momentum .9, weight decay 5e-4).
    """

    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = False
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _positive("lr", self.lr)
        _share("momentum", self.momentum)
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay: expected at least 0, got {self.weight_decay}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: needs a momentum above 0")
        if self.clip_norm is not None:
            _positive("clip_norm", self.clip_norm)


@dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate moves.

    Args:
        name: ``constant``; ``cosine`` from lr to ``final * lr``; ``multistep``, times ``gamma`` at
            each milestone; ``warmup-cosine``, linear from ``warmup_from`` and then the cosine.
        t_max: epochs until the cosine ends; None is the length of the run. The published probe
            uses 100 for a run of 12 epochs, so its rate hardly moves.
        milestones: epochs at which ``multistep`` multiplies.
        gamma: factor of ``multistep``.
        warmup_epochs: length of the warm-up, in epochs, fractions allowed.
        warmup_from: learning rate of the first step of the warm-up.
        final: where the cosine ends, as a share of lr.
        per: ``epoch`` moves the cosine once an epoch, ``step`` at every step. The warm-up always
            moves at every step, as in the SupContrast code.
    """

    name: str = "constant"
    t_max: float | None = None
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    warmup_from: float = 0.01
    final: float = 0.0
    per: str = "epoch"

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {self.name!r}")
        if self.per not in ("epoch", "step"):
            raise ValueError(f"per: expected epoch or step, got {self.per!r}")
        if self.t_max is not None:
            _positive("t_max", self.t_max)
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones: expected rising epochs, got {self.milestones}")
        if self.name == "multistep" and not self.milestones:
            raise ValueError("milestones: a multistep schedule needs at least one")
        if self.name == "warmup-cosine" and self.warmup_epochs <= 0:
            raise ValueError("warmup_epochs: a warmup-cosine schedule needs more than 0")


@dataclass(frozen=True)
class AugmentSettings:
    """Random augmentation of training images, in this order: crop, flip, rotation.

    Args:
        crop: zero pixels put around the image before a random crop to its size; 0 is off.
        flip: mirror left-right half of the time.
        rotation: degrees; the angle is uniform in [-rotation, rotation); 0 is off.

    Source: paper appendix C.5 (crop and flip on CIFAR-10; crop, flip and rotation on CIFAR-100;
    rotation and flip on ImageNet; none in SD).
    """

    crop: int = 0
    flip: bool = False
    rotation: float = 0.0

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise ValueError(f"crop: expected at least 0 pixels, got {self.crop}")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation: expected 0 to 180 degrees, got {self.rotation}")


@dataclass(frozen=True)
class ViewSettings:
    """Augmentation of contrastive learning: several views of each image, or one.

    Args:
        views: of each image.
        scale: smallest and largest share of the area that a crop takes, before it is resized to
            the image's size.
        flip_share: share of views that are mirrored, left and right.
        jitter: reach of brightness, contrast, saturation and hue.
        jitter_share: share of views whose colours are jittered.
        grey_share: share of views without colours.

    Source: paper appendix C.5 (as SimCLR); :func:`fctfast.ops.sample_contrastive`.
    """

    views: int = 2
    scale: tuple[float, float] = (0.2, 1.0)
    flip_share: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    jitter_share: float = 0.8
    grey_share: float = 0.2

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views: expected at least 1, got {self.views}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale: expected two shares in (0, 1], rising, got {self.scale}")
        reaches = all(0 <= reach <= 1 for reach in self.jitter)
        if len(self.jitter) != 4 or not reaches or self.jitter[3] > 0.5:
            raise ValueError(
                f"jitter: expected four reaches in [0, 1], hue's at most .5, got {self.jitter}"
            )
        for name in ("flip_share", "jitter_share", "grey_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class Budget:
    """How long to train, in passes over the data and in optimiser steps.

    ``epochs`` passes, but never fewer than ``min_steps`` and never more than ``max_steps`` steps.
    Steps count because a backdoor is learnt after a number of steps, not of epochs: on 10,000
    images one epoch (78 steps) is not enough.

    Args:
        epochs: passes over the data, at least 0.
        min_steps: further passes are added until this many steps are done.
        max_steps: training ends here, in the middle of a pass if need be; None is no limit.
    """

    epochs: int = 1
    min_steps: int = 0
    max_steps: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.min_steps < 0:
            raise ValueError(
                f"budget: expected epochs and min_steps of at least 0, got {self.epochs} and "
                f"{self.min_steps}"
            )
        if self.max_steps is not None and self.max_steps < self.min_steps:
            raise ValueError(
                f"budget: max_steps ({self.max_steps}) is below min_steps ({self.min_steps})"
            )

    def steps(self, steps_per_epoch: int) -> int:
        """Count the steps this budget buys at ``steps_per_epoch`` steps a pass."""
        total = max(self.epochs * steps_per_epoch, self.min_steps)
        return total if self.max_steps is None else min(total, self.max_steps)


@dataclass(frozen=True)
class FitSettings:
    """Everything :func:`~fctfast.train.fit` needs beside the data and the losses.

    Args:
        batch_size: images a step.
        sgd: the optimiser.
        schedule: the learning rate over time.
        precision: ``float32``, ``bfloat16`` (forward pass under autocast, float32 weights) or
            ``auto``; see :mod:`fctfast.train.precision`.
    """

    batch_size: int = 128
    sgd: SGDSettings = field(default_factory=SGDSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size: expected at least 2 (batch norm needs it), got {self.batch_size}"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}: expected more than 0, got {value}")


def _share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected 0 <= {name} < 1, got {value}")
