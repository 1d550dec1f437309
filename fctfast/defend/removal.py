"""Backdoor removal (BR): unlearn D_p and relearn D_c, both in each batch or in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.defend.losses import JointRemoval, l_relearn, l_unlearn
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    Fitted,
    Progress,
    ScheduleSettings,
    SGDSettings,
    Stage,
    fit,
    predict,
)
from fctfast.train.stage import batch_bounds

METHODS = ("joint", "alternate")


@dataclass(frozen=True)
class RemovalSettings:
    """BR written down.

    Args:
        method: "joint": D_p and D_c shuffled together, each batch unlearns and relearns by one
            bounded loss; "alternate": as published, a round is one pass of gradient ascent on D_p
            and one of descent on D_c.
        budget: passes over D_p and D_c, counted in steps over both; "alternate" rounds up to whole
            rounds.
        weight: of a sample of D_p against one of D_c; "joint" alone.
        fit: batch size, SGD and schedule (default: a cosine to 0); one optimiser serves all of it.
        augment: random crop and flip (CIFAR-10).

    Source: paper Algorithm 4; "alternate" with the published code's numbers.
    """

    method: str = "joint"
    budget: Budget = field(default_factory=lambda: Budget(epochs=3))
    weight: float = 3.0
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(schedule=ScheduleSettings("cosine", per="step"))
    )
    augment: AugmentSettings = field(default_factory=lambda: AugmentSettings(crop=4, flip=True))

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight: expected more than 0, got {self.weight}")

    def published(self) -> RemovalSettings:
        """The published method, length, batch size and SGD, with this augmentation and precision.

        Source: paper Algorithm 4 and appendix C.5.
        """
        fit = FitSettings(sgd=SGDSettings(lr=1e-4), precision=self.fit.precision)
        return RemovalSettings("alternate", Budget(epochs=20), fit=fit, augment=self.augment)

    def stages(self, data: ImageSet, poisoned: Tensor) -> list[Stage]:
        """Unfold BR into what :func:`fctfast.train.fit` runs with one SGD.

        Args:
            data: D_p and D_c together, labels as given.
            poisoned: bool [N], True in D_p.

        Returns:
            "joint": one stage, "repair". "alternate": "unlearn" and "relearn", a pass each, in
            turn.

        Raises:
            ValueError: D_p or D_c is empty.
        """
        for name, part in (("D_p", poisoned), ("D_c", ~poisoned)):
            if not bool(part.any()):
                raise ValueError(f"remove_backdoor: {name} is empty; choose a larger alpha")
        if self.method == "joint":
            targets = data.labels + data.num_classes * poisoned
            loss = JointRemoval(data.num_classes, self.weight)
            return [Stage("repair", data, loss, self.budget, self.augment, targets)]
        d_p, d_c = data.select(poisoned), data.select(~poisoned)
        unlearn = Stage("unlearn", d_p, l_unlearn, Budget(epochs=1), self.augment)
        relearn = Stage("relearn", d_c, l_relearn, Budget(epochs=1), self.augment)
        size = self.fit.batch_size
        a_round = sum(len(batch_bounds(len(part), size)) for part in (d_p, d_c))
        rounds = -(-self.budget.steps(a_round) // a_round)
        return [stage for _ in range(rounds) for stage in (unlearn, relearn)]


def remove_backdoor(
    model: nn.Module,
    data: ImageSet,
    poisoned: Tensor,
    settings: RemovalSettings | None = None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> Fitted:
    """Repair a backdoored model in place; the last pass is kept.

    Args:
        model: feature model, or any module :func:`~fctfast.models.as_feature_model` accepts.
        data: D_p and D_c together, labels as given.
        poisoned: bool [N], True in D_p.
        settings: default :class:`RemovalSettings`.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of order and augmentation.
        checkpoint: file to resume from after each pass; default none.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        History.

    Raises:
        ValueError: D_p or D_c is empty.
        Diverged: the loss became NaN or infinite.

    Source: paper Algorithm 4.
    """
    settings = settings or RemovalSettings()
    return fit(
        model,
        settings.stages(data, poisoned),
        settings=settings.fit,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        label="unlearn/relearn",
        device=device,
    )


def kept_shares(
    model: nn.Module,
    data: ImageSet,
    poisoned: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> dict[str, float | None]:
    """Shares of D_p and D_c that a model predicts as their given labels, without augmentation.

    Args:
        model: any classifier; left in the mode it came in.
        data: D_p and D_c together, labels as given.
        poisoned: bool [N], True in D_p.
        mean: per channel, in [0, 1] units.
        std: per channel.

    Returns:
        `dp_kept` and `dc_kept`, shares in [0, 1]; None of an empty part.
    """
    right = (predict(model, data.images, mean=mean, std=std) == data.labels).double()
    return {
        name: float(right[part].mean()) if bool(part.any()) else None
        for name, part in (("dp_kept", poisoned), ("dc_kept", ~poisoned))
    }
