"""How much the scores of a moment look like those of a poisoned set: two groups inside a class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fctfast.detect.mixture import MIN_GROUP, TwoGroups, groups_of_each
from fctfast.train.progress import Progress, Quiet

MAX_UPPER_SHARE = 0.75
"""A class most of which lies in its upper group has a tail of easy samples, not of poison ..."""

ORDINARY, MAX_RATE = 0.5, 0.15
"""... unless what remains is a class: this share of the median class at least, and what would be
poison at most this share of the set. Where classes are many, the target's is poison for the most
part: 10/11 of it at 100 classes and a tenth of the set. A class that is large by nature is not."""

ALL_TO_ALL_SHARE, FEWEST_OF_ALL = 0.5, 5
"""Where as many classes form faint groups beside a clear one, all of them are suspected: this share
of the classes and five at least. Where there is one target, up to two of nine others did so."""

ALIKE = 0.5
"""Groups of such an attack stand about as far apart in every class: a class counts from this share
of the clearest one on. Seen: .57 to .73 in the faintest class; beside a single target's at most .4
where the probe sets classes far apart."""

SHOWN_FROM = 20
"""Classes that are weighed together; more than these are reported."""

UNMOVED = 1e-30
"""A score below this is none: tau left every pixel where it was."""


@dataclass(frozen=True)
class VerdictThresholds:
    """Where evidence begins (docs/method.md has the measurements behind it).

    Args:
        separation_yes: separation inside a class from which there is evidence.
        separation_no: separation below which there is none. Beside a class with evidence every
            class from here on is suspected, too: a poisoned set may be so in many classes.
        separation_many: the same, where as many classes come to it as an attack without a single
            target has, all about alike (:data:`ALL_TO_ALL_SHARE`, :data:`FEWEST_OF_ALL`,
            :data:`ALIKE`).

    Raises:
        ValueError: they do not fall, in this order, or one is no number.
    """

    separation_yes: float = 3.5
    separation_no: float = 3.0
    separation_many: float = 2.0

    def __post_init__(self) -> None:
        """Refuse thresholds out of order."""
        if not math.inf > self.separation_yes >= self.separation_no >= self.separation_many >= 0:
            raise ValueError(
                "VerdictThresholds: expected separation_yes >= separation_no >= separation_many >= "
                f"0, got {self.separation_yes}, {self.separation_no} and {self.separation_many}"
            )


@dataclass(frozen=True)
class Evidence:
    """What the scores of one moment show, before it is judged.

    Args:
        classes: the two groups fitted to the log-scores of each class; None where it has too few
            samples.
        others: for each class the median log-score of all other samples.
        max_shares: for each class the largest share of it that can be poison.
    """

    classes: tuple[TwoGroups | None, ...]
    others: tuple[float, ...]
    max_shares: tuple[float, ...]

    @property
    def class_separation(self) -> tuple[float | None, ...]:
        """Separation of each class's two groups; 0 where they cannot be poison and clean.

        Poison is more sensitive than most of the set, and at most `max_shares` of its class: a
        class whose lower group is what stands apart has easy samples instead.
        """
        return tuple(
            None
            if c is None
            else c.separation
            if c.upper_share <= max_share and c.means[1] > others
            else 0.0
            for c, others, max_share in self._each()
        )

    def set_aside(self, limits: VerdictThresholds) -> tuple[tuple[int, TwoGroups], ...]:
        """Classes of two groups apart whose upper one is too much of the class to be poison."""
        return tuple(
            (number, c)
            for number, (c, others, max_share) in enumerate(self._each())
            if c is not None
            and c.upper_share > max_share
            and c.means[1] > others
            and c.separation >= limits.separation_yes
        )

    def _each(self) -> Iterator[tuple[TwoGroups | None, float, float]]:
        return zip(self.classes, self.others, self.max_shares, strict=True)

    @property
    def separation(self) -> float:
        """The largest of any class."""
        return max((s for s in self.class_separation if s is not None), default=0.0)

    def suspected(self, limits: VerdictThresholds) -> tuple[int, ...]:
        """The suspected classes, the clearest first; none unless one of them is evidence."""
        if self.separation < limits.separation_yes:
            return ()
        known = [(s, -c) for c, s in enumerate(self.class_separation) if s is not None]
        faint = max(limits.separation_many, ALIKE * self.separation)
        many = sum(s >= faint for s, _ in known)
        all_to_all = many >= max(FEWEST_OF_ALL, ALL_TO_ALL_SHARE * len(known))
        least = min(faint, limits.separation_no) if all_to_all else limits.separation_no
        return tuple(-c for s, c in sorted(known, reverse=True) if s >= least)


def weigh(
    fct: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    min_group: int = MIN_GROUP,
    sizes: Tensor | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Measure how much the scores look like those of a poisoned set.

    A backdoor makes two groups of scores inside the class it targets: the poisoned samples, which
    a transformation throws to another cluster, and the clean ones. Log-scores of a clean class are
    close to one Gaussian.

    Args:
        fct: floating [N], finite; the geometric mean over draws has the smoothest distribution.
        labels: int64 [N], as given with the data.
        num_classes: C.
        min_group: smallest group of samples that counts inside a class.
        sizes: int64 [C], samples of each class in the set that the scores are a sample of; default:
            those of the labels.
        progress: where to report, if there are more than SHOWN_FROM classes; default nowhere.

    Returns:
        The measurements. Samples that tau does not move (a black image turned is the same image)
        are left out: they are a group of their own, and none of a backdoor's.

    Raises:
        ValueError: labels outside 0..C-1, or sizes that are not one a class.
    """
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"weigh: expected labels in 0..{num_classes - 1}, got {int(labels.min())} to "
            f"{int(labels.max())}"
        )
    if sizes is not None and sizes.numel() != num_classes:
        raise ValueError(f"weigh: expected sizes of {num_classes} classes, got {sizes.numel()}")
    moved = fct > UNMOVED
    logs, inside = log_scores(fct)[moved], labels[moved]
    counts = torch.bincount(inside, minlength=num_classes).tolist()
    parts = torch.split(logs[inside.argsort(stable=True)], counts)
    classes: list[TwoGroups | None] = []
    shown = progress if progress and num_classes > SHOWN_FROM else Quiet()
    with shown.task("evidence", num_classes, unit="class") as task:
        for first in range(0, num_classes, SHOWN_FROM):
            some = parts[first : first + SHOWN_FROM]
            classes += groups_of_each(some, min_group)
            task.advance(len(some))
    sizes = torch.bincount(labels, minlength=num_classes) if sizes is None else sizes
    others = _medians_of_others(logs, inside, counts)
    return Evidence(tuple(classes), others, _max_shares(sizes))


def _medians_of_others(values: Tensor, labels: Tensor, counts: list[int]) -> tuple[float, ...]:
    """For each class the (lower) median of all other values; sorts them once."""
    order = values.argsort()
    ranks = torch.split(labels[order].argsort(stable=True), counts)  # of each class's values
    medians = []
    for own in ranks:
        middle = (values.numel() - own.numel() - 1) // 2  # among the others
        if middle < 0:
            medians.append(-math.inf)
            continue
        # Of its own values those count that have at most `middle` others before them.
        before = own - torch.arange(own.numel())
        skipped = int(torch.searchsorted(before, middle, right=True))
        medians.append(float(values[order[middle + skipped]]))
    return tuple(medians)


def _max_shares(sizes: Tensor) -> tuple[float, ...]:
    filled = sizes[sizes > 0].double()
    ordinary = ORDINARY * float(filled.quantile(0.5)) if filled.numel() else 0.0
    poison = MAX_RATE * float(filled.sum())
    return tuple(
        max(MAX_UPPER_SHARE, min(1 - ordinary / n, poison / n)) if n else MAX_UPPER_SHARE
        for n in sizes.tolist()
    )


def log_scores(fct: Tensor) -> Tensor:
    """Logarithm of scores, float64; a score of 0 counts as the smallest number there is."""
    return fct.double().clamp_min(torch.finfo(torch.float32).tiny).log()


def suspected_samples(
    fct: Tensor, labels: Tensor, seen: Evidence, thresholds: VerdictThresholds | None = None
) -> Tensor:
    """Find the samples in the upper group of a class with evidence.

    Inside the class that a backdoor targets its poisoned samples stand apart by more than they do
    from the most sensitive samples of other classes, so these come first in the order of suspicion.

    Args:
        fct: floating [N], the scores that were weighed.
        labels: int64 [N].
        seen: from :func:`weigh`.
        thresholds: default :class:`VerdictThresholds`.

    Returns:
        bool [N], False everywhere without evidence.
    """
    logs = log_scores(fct)
    found = torch.zeros(fct.numel(), dtype=torch.bool)
    for number in seen.suspected(thresholds or VerdictThresholds()):
        groups = seen.classes[number]
        if groups is not None:
            found |= (labels == number) & (groups.posterior(logs) > 0.5)
    return found
