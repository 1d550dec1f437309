"""What is trained on what: stages, and the passes they unfold into."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.data.image_set import ImageSet
from fctfast.seeding import permutation
from fctfast.train.settings import AugmentSettings, Budget, ViewSettings

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(features [B, D] float32, logits [B, K] float32, labels [B] int64) -> scalar to minimise.

With several views of each image B counts views, view by view, and labels repeat.
"""


def cross_entropy(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the batch, the loss of base training and of relearning.

    Args:
        features: ``[B, D]``, not used.
        logits: float32 ``[B, K]``.
        labels: int64 ``[B]``.

    Returns:
        Scalar.

    Source: paper Eq. 5.
    """
    return F.cross_entropy(logits, labels)


@dataclass(frozen=True, eq=False)
class Stage:
    """A loss on a set of images for a budget.

    ``fit`` runs stages one after the other with one optimiser: cross-entropy then ``l_intra`` is
    the SD probe; ``unlearn`` then ``relearn``, twenty times, is the published BR.

    Args:
        name: keys the order and the augmentation together with the seed; also a history column.
        data: the images. Labels are used as they stand.
        loss: see :data:`Loss`; it may ignore features, logits or labels.
        budget: passes and steps.
        augment: random augmentation, default none; :class:`ViewSettings` for the views of
            contrastive learning.
        targets: int64 ``[N]``, what the loss gets in the place of the labels: groups, or labels
            that say more than a class. Default: the labels.
        chunk: images that go through the network at once; the loss sees the whole batch all the
            same (:func:`~fctfast.train.chunks.backward_in_chunks`). Default: the whole batch.

    Raises:
        ValueError: no image, another number of targets, or a chunk below 2.
    """

    name: str
    data: ImageSet
    loss: Loss = cross_entropy
    budget: Budget = field(default_factory=Budget)
    augment: AugmentSettings | ViewSettings = field(default_factory=AugmentSettings)
    targets: Tensor | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        if not len(self.data):
            raise ValueError(f"stage {self.name}: expected at least one image, got none")
        if self.targets is not None and self.targets.shape != (len(self.data),):
            raise ValueError(
                f"stage {self.name}: expected targets [{len(self.data)}], one an image, got "
                f"{list(self.targets.shape)}"
            )
        if self.chunk is not None and self.chunk < 2:
            raise ValueError(f"chunk: expected at least 2 (batch norm needs it), got {self.chunk}")

    @property
    def views(self) -> int:
        """Views of each image in a batch."""
        return self.augment.views if isinstance(self.augment, ViewSettings) else 1


@dataclass(frozen=True, eq=False)
class Pass:
    """One pass over a stage's data, possibly cut short by the budget.

    Args:
        index: number of the pass in the whole run, from 0.
        stage: what is trained.
        batches: steps of this pass.
        full: steps of an uncut pass.
        first_step: steps done before it.
        position: passes done before it, cut ones counted as the share they were; what the learning
            rate's schedule reads.
    """

    index: int
    stage: Stage
    batches: int
    full: int
    first_step: int
    position: float


def unfold(stages: Sequence[Stage], batch_size: int) -> list[Pass]:
    """List the passes of a run.

    Args:
        stages: in order.
        batch_size: images a step.

    Returns:
        The passes; empty if no budget buys a step.
    """
    passes: list[Pass] = []
    done, position = 0, 0.0
    for stage in stages:
        full = len(batch_bounds(len(stage.data), batch_size))
        left = stage.budget.steps(full)
        while left:
            batches = min(full, left)
            passes.append(Pass(len(passes), stage, batches, full, done, position))
            left -= batches
            done += batches
            position += batches / full
    return passes


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut ``count`` samples into batches.

    A last batch of one sample joins the one before it: batch norm over one sample is degenerate.

    Args:
        count: samples.
        batch_size: samples a batch.

    Returns:
        (first, end) of each batch.
    """
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))


def shuffled_batches(pass_: Pass, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield the positions of each batch of a pass, in an order keyed by (seed, stage, pass).

    Args:
        pass_: the pass.
        batch_size: images a step.
        seed: the run's seed.

    Yields:
        int64 ``[B]`` positions in the stage's data.
    """
    count = len(pass_.stage.data)
    order: Tensor = permutation(count, seed, f"order/{pass_.stage.name}", pass_.index)
    order = order.to(torch.int64)
    for first, end in batch_bounds(count, batch_size)[: pass_.batches]:
        yield order[first:end]
