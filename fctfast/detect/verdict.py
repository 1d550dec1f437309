"""Is there evidence of poisoning at all? alpha_p always flags its share, poisoned set or not."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from fctfast.detect.evidence import Evidence, VerdictThresholds, weigh
from fctfast.detect.mixture import MIN_SAMPLES

YES, NO, UNCLEAR = "yes", "no", "unclear"

NO_TARGET_SHARE = 0.5
"""From this share of suspected classes on (two at least) no single one is named as the target."""

SHOWN_ASIDE = 3
"""Classes that are set aside and named, the clearest."""


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

    Source: docs/method.md, "The verdict".
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
        reason = "no class's scores form two groups of which the upper one can be poison"
    all_to_all = len(suspected) >= max(2, NO_TARGET_SHARE * tested)
    reasons = [reason]
    if len(suspected) > 1:
        reasons.append(
            f"{len(suspected)} of {tested} classes are suspected"
            + (": an attack without a single target" if all_to_all else "")
        )
    if 0 < tested < len(separations):
        reasons.append(
            f"{len(separations) - tested} of {len(separations)} classes have too few samples and "
            "were not tested"
        )
    aside = sorted(seen.set_aside(limits), key=lambda pair: -pair[1].separation)
    reasons += [
        f"class {number} forms two groups {groups.separation:.2f} deviations apart, but "
        f"{groups.upper_share:.0%} of it lies in the upper one, as where some samples are easy; "
        "look at it if most of that class may be poisoned"
        for number, groups in aside[:SHOWN_ASIDE]
    ]
    if len(aside) > SHOWN_ASIDE:
        reasons.append(f"{len(aside) - SHOWN_ASIDE} more classes do so")
    return Verdict(
        evidence=evidence,
        reasons=tuple(reasons),
        suspected_target=suspected[0] if suspected and not all_to_all else None,
        suspected_classes=suspected,
        separation=seen.separation,
        class_separation=separations,
    )
