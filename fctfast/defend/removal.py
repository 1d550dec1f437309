"""Backdoor removal (BR): unlearn D_p and relearn D_c in turn, until the training data say stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.defend.losses import l_relearn, l_unlearn
from fctfast.defend.stopping import StopRule
from fctfast.detect.fct import evaluating
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    Fitted,
    PassEnd,
    Progress,
    SGDSettings,
    Stage,
    fit,
    normalise,
    resolve_device,
)
from fctfast.train.stage import batch_bounds


@dataclass(frozen=True)
class RemovalSettings:
    """BR written down; the defaults are the published ones plus the stopping rule.

    Args:
        rounds: at most this many rounds of one pass over D_p and one over D_c, as published; not
            used where `ascent_steps` is given.
        ascent_steps: budget in unlearning steps, which sets the rounds: as many as take at least
            this many steps over D_p, so that a small D_p gets more of them; default: `rounds`.
        fit: batch size and SGD; one optimiser serves both losses.
        augment: random crop and flip (CIFAR-10).
        stop: ends BR early; None runs all rounds, as published.

    Source: paper Algorithm 4 and appendix C.5; DESIGN section 4, row "D-BR".
    """

    rounds: int = 20
    ascent_steps: int | None = None
    fit: FitSettings = field(default_factory=lambda: FitSettings(sgd=SGDSettings(lr=1e-4)))
    augment: AugmentSettings = field(default_factory=lambda: AugmentSettings(crop=4, flip=True))
    stop: StopRule | None = field(default_factory=StopRule)

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds: expected at least 1, got {self.rounds}")
        if self.ascent_steps is not None and self.ascent_steps < 1:
            raise ValueError(f"ascent_steps: expected at least 1, got {self.ascent_steps}")

    def stages(self, poisoned: ImageSet, clean: ImageSet) -> list[Stage]:
        """Unfold the rounds into what :func:`fctfast.train.fit` runs with one SGD.

        Args:
            poisoned: D_p.
            clean: D_c.

        Returns:
            The rounds of `rounds` or `ascent_steps`, an unlearning and a relearning stage each.

        Raises:
            ValueError: D_p or D_c is empty.
        """
        for name, part in (("D_p", poisoned), ("D_c", clean)):
            if not len(part):
                raise ValueError(f"remove_backdoor: {name} is empty; choose a larger alpha")
        unlearn = Stage("unlearn", poisoned, l_unlearn, Budget(epochs=1), self.augment)
        relearn = Stage("relearn", clean, l_relearn, Budget(epochs=1), self.augment)
        rounds = self.rounds
        if self.ascent_steps is not None:
            a_round = len(batch_bounds(len(poisoned), self.fit.batch_size))
            rounds = -(-self.ascent_steps // a_round)
        return [stage for _ in range(rounds) for stage in (unlearn, relearn)]

    def published(self) -> RemovalSettings:
        """The published length with this batch size, SGD and augmentation: 20 rounds, no rule.

        Source: paper Algorithm 4 and appendix C.5.
        """
        return replace(self, rounds=RemovalSettings().rounds, ascent_steps=None, stop=None)


def remove_backdoor(
    model: nn.Module,
    poisoned: ImageSet,
    clean: ImageSet,
    settings: RemovalSettings | None = None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> Fitted:
    """Repair a backdoored model in place; the last round is kept.

    Args:
        model: feature model, or any module :func:`~fctfast.models.as_feature_model` accepts.
        poisoned: D_p, labels as given.
        clean: D_c, labels as given.
        settings: default :class:`RemovalSettings`.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of order and augmentation.
        checkpoint: file to resume from after each pass; default none.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        History: the record of each relearning pass carries `dp_kept` and `dc_kept`, the shares of
        D_p and D_c predicted as their given labels, and the first also their values before BR.

    Raises:
        ValueError: D_p or D_c is empty.
        Diverged: the ascent blew up.

    Source: paper Algorithm 4; DESIGN section 4, row "D-BR".
    """
    settings = settings or RemovalSettings()
    stages = settings.stages(poisoned, clean)

    def shares(current: nn.Module) -> dict[str, float]:
        return {
            "dp_kept": kept_share(current, poisoned, mean=mean, std=std),
            "dc_kept": kept_share(current, clean, mean=mean, std=std),
        }

    model.to(resolve_device(device))
    start = shares(model)

    def after(end: PassEnd) -> bool:
        if end.record["stage"] != "relearn":
            return False
        end.record.update(shares(end.model))
        rounds = [r for r in end.history if r["stage"] == "relearn"]
        return settings.stop is not None and settings.stop.satisfied(rounds, start)

    return fit(
        model,
        stages,
        settings=settings.fit,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=after,
        progress=progress,
        label="unlearn/relearn",
        device=device,
    )


def kept_share(
    model: nn.Module,
    data: ImageSet,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
) -> float:
    """Share of samples a model predicts as their given label, in eval mode without augmentation.

    Args:
        model: any classifier; left in the mode it came in.
        data: images and labels.
        mean: per channel, in [0, 1] units.
        std: per channel.
        batch_size: images in one forward pass.

    Returns:
        Share in [0, 1].
    """
    device = next(model.parameters()).device
    right = 0
    with evaluating(model), torch.inference_mode():
        for rows in torch.split(torch.arange(len(data)), batch_size):
            images = normalise(
                data.images[rows].to(device), mean, std, memory_format=torch.channels_last
            )
            right += int((model(images).argmax(1).cpu() == data.labels[rows]).sum())
    return right / len(data)
