"""Is there evidence of poisoning at all? alpha_p always flags its share, poisoned set or not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fctfast.detect.mixture import MIN_GROUP, MIN_SAMPLES, TwoGroups, two_groups
from fctfast.train.progress import Progress, Quiet

YES, NO, UNCLEAR = "yes", "no", "unclear"

MAX_UPPER_SHARE = 0.75
"""A class most of which lies in its upper group has a tail of easy samples, not of poison."""

ALL_TO_ALL_SHARE = 0.5
"""From this share of suspected classes on (two at least) there is no single target."""

SHOWN_FROM = 20
"""Classes, from which on weighing them takes long enough to be reported."""

UNMOVED = 1e-30
"""A score below this is none: tau left every pixel where it was."""


@dataclass(frozen=True)
class VerdictThresholds:
    """Where evidence begins (docs/method.md has the measurements behind it).

    Args:
        separation_yes: separation inside a class from which there is evidence.
        separation_no: separation below which there is none.
    """

    separation_yes: float = 3.5
    separation_no: float = 3.0


@dataclass(frozen=True)
class Evidence:
    """What the scores of one moment show, before it is judged.

    Args:
        classes: the two groups fitted to the log-scores of each class; None where it has too few
            samples.
        others: for each class the median log-score of all other samples.
    """

    classes: tuple[TwoGroups | None, ...]
    others: tuple[float, ...]

    @property
    def class_separation(self) -> tuple[float | None, ...]:
        """Separation of each class's two groups; 0 where they cannot be poison and clean.

        Poison is more sensitive than most of the set, and not most of its class: a class whose
        lower group is what stands apart has easy samples instead.
        """
        return tuple(
            None
            if c is None
            else c.separation
            if c.upper_share <= MAX_UPPER_SHARE and c.means[1] > others
            else 0.0
            for c, others in zip(self.classes, self.others, strict=True)
        )

    @property
    def separation(self) -> float:
        """The largest of any class."""
        return max((s for s in self.class_separation if s is not None), default=0.0)

    def suspected(self, limits: VerdictThresholds) -> tuple[int, ...]:
        """The classes with evidence, the clearest first."""
        known = [(s, -c) for c, s in enumerate(self.class_separation) if s is not None]
        return tuple(-c for s, c in sorted(known, reverse=True) if s >= limits.separation_yes)


@dataclass(frozen=True)
class Verdict:
    """What the scores say about the whole set.

    Args:
        evidence: "yes", "no" or "unclear".
        reasons: one sentence each, for a person.
        suspected_target: class that poisoned samples are labelled with; None without evidence, and
            where half of the classes or more, and two at least, are suspected (all-to-all).
        suspected_classes: classes whose scores form two groups, the clearest first.
        separation: see :class:`Evidence`.
        class_separation: see :class:`Evidence`.
    """

    evidence: str
    reasons: tuple[str, ...]
    suspected_target: int | None
    suspected_classes: tuple[int, ...]
    separation: float
    class_separation: tuple[float | None, ...]

    def unclear(self, reason: str) -> Verdict:
        """The measurements without the judgement, and why there is none."""
        return replace(
            self,
            evidence=UNCLEAR,
            reasons=(reason,),
            suspected_target=None,
            suspected_classes=(),
        )

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            **asdict(self),
            **{name: list(getattr(self, name)) for name in _TUPLES},
        }

    @classmethod
    def from_summary(cls, raw: dict[str, Any]) -> Verdict:
        """Read what :meth:`summary` gave."""
        return cls(**{**raw, **{name: tuple(raw[name]) for name in _TUPLES}})


_TUPLES = ("reasons", "suspected_classes", "class_separation")


def weigh(
    fct: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    min_group: int = MIN_GROUP,
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
        progress: where to report, if there are more than SHOWN_FROM classes (a tenth of a second
            each); default nowhere.

    Returns:
        The measurements. Samples that tau does not move (a black image turned is the same image)
        are left out: they are a group of their own, and none of a backdoor's.
    """
    logs, moved = log_scores(fct), fct > UNMOVED
    classes, others = [], []
    shown = progress if progress and num_classes > SHOWN_FROM else Quiet()
    with shown.task("evidence", num_classes, unit="class") as task:
        for number in range(num_classes):
            inside = labels == number
            rest = logs[~inside & moved]
            classes.append(two_groups(logs[inside & moved], min_group))
            others.append(float(rest.median()) if rest.numel() else -math.inf)
            task.advance()
    return Evidence(tuple(classes), tuple(others))


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


def verdict(
    fct: Tensor, labels: Tensor, num_classes: int, thresholds: VerdictThresholds | None = None
) -> Verdict:
    """Judge whether a set shows poisoning, from the scores and the labels as given.

    Args:
        fct: floating [N], finite.
        labels: int64 [N], as given with the data.
        num_classes: C.
        thresholds: default :class:`VerdictThresholds`.

    Returns:
        The verdict with its reasons.

    Source: DESIGN section 4, "A clean data set has no poison".
    """
    return judge(weigh(fct, labels, num_classes), thresholds)


def judge(seen: Evidence, thresholds: VerdictThresholds | None = None) -> Verdict:
    """Turn measurements into a verdict.

    Args:
        seen: from :func:`weigh`.
        thresholds: default :class:`VerdictThresholds`.
    """
    limits = thresholds or VerdictThresholds()
    suspected = seen.suspected(limits)
    evidence = YES if suspected else NO if seen.separation < limits.separation_no else UNCLEAR
    separations = seen.class_separation
    tested = sum(s is not None for s in separations)
    if not tested:
        evidence = UNCLEAR
        reason = (
            f"no class has {MIN_SAMPLES} samples that a transformation moves, so no class could be "
            "tested"
        )
    elif seen.separation > 0:
        clearest = separations.index(seen.separation)
        groups = seen.classes[clearest]
        share = f", the upper one {groups.upper_share:.0%} of it" if groups else ""
        reason = (
            f"the scores of class {clearest} form two groups {seen.separation:.2f} deviations "
            f"apart{share} (evidence from {limits.separation_yes:.2f}, none below "
            f"{limits.separation_no:.2f})"
        )
    else:
        reason = "the scores of every class that could be tested form one group"
    all_to_all = len(suspected) >= max(2, ALL_TO_ALL_SHARE * tested)
    reasons = [reason]
    if 0 < tested < len(separations):
        reasons.append(
            f"{len(separations) - tested} of {len(separations)} classes have too few samples and "
            "were not tested"
        )
    if len(suspected) > 1:
        reasons.append(
            f"{len(suspected)} of {tested} classes do so"
            + (": an attack without a single target" if all_to_all else "")
        )
    return Verdict(
        evidence=evidence,
        reasons=tuple(reasons),
        suspected_target=suspected[0] if suspected and not all_to_all else None,
        suspected_classes=suspected,
        separation=seen.separation,
        class_separation=separations,
    )
