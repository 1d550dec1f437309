"""Scores taken at several moments of the probe's training, checked and compared without truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect.batch_norm import keep_statistics, recompute_batch_norm, statistics_batches
from fctfast.detect.fct import FctResult, FctSettings, fct
from fctfast.detect.guards import Health, check_collapse
from fctfast.detect.split import split_scores
from fctfast.detect.verdict import Evidence, VerdictThresholds, weigh
from fctfast.train import Progress
from fctfast.train.differences import differing_keys

FORMAT = "fctfast-snapshot-2"


@dataclass(frozen=True)
class Snapshot:
    """Scores of a set at one moment.

    Args:
        step: optimiser steps the probe had done.
        fct: float64 [N].
        health: what the collapse check found.
        evidence: how much these scores look like those of a poisoned set.
    """

    step: int
    fct: Tensor
    health: Health
    evidence: Evidence

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "step": self.step,
            **self.health.summary(),
            "separation": self.evidence.separation,
            "concentration": self.evidence.concentration,
        }


def take_snapshot(
    model: nn.Module,
    data: ImageSet,
    *,
    step: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    settings: FctSettings,
    alpha_p: float,
    recompute: bool,
    device: torch.device,
    progress: Progress | None = None,
    path: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Score the set with the probe as it is now; the probe does not notice.

    Args:
        model: the probe.
        data: the suspicious set.
        step: optimiser steps done.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of tau and of the statistics' images.
        settings: draws, batch size, precision.
        alpha_p: share flagged, for the evidence.
        recompute: score with recomputed batch-norm statistics (robust) or as they run (published).
        device: where the model is.
        progress: where to report.
        path: file that keeps the result; one that exists is read instead of scoring again.
        identity: all that the scores depend on (data, probe, how they are scored), ready for JSON;
            kept in the file with the step, and compared before the file is read instead.

    Returns:
        Scores and health.

    Raises:
        ValueError: the file is damaged, of another set, or of a run with other settings.
    """
    whole = {**(identity or {}), "step": step}
    if path is not None and path.exists():
        result = read_result(path, len(data), whole)
    else:
        with keep_statistics(model):
            if recompute:
                batches = statistics_batches(data, mean=mean, std=std, seed=seed, device=device)
                recompute_batch_norm(model, batches)
            result = fct(
                model,
                data,
                mean=mean,
                std=std,
                seed=seed,
                settings=settings,
                device=device,
                progress=progress,
            )
        if path is not None:
            _write(path, result, whole)
    scores = result.score(settings.over_draws)
    health = check_collapse(scores, result.norms, result.predicted, data.labels, data.num_classes)
    # NaN scores are for the collapse check to report; as evidence they count as zero.
    ranked = scores.nan_to_num(0.0, 0.0, 0.0)
    part = split_scores(data.ids, ranked, alpha_c=0.0, alpha_p=alpha_p)
    evidence = weigh(
        # The lowest of the draws ranks best; their mean has the smoother distribution.
        result.score("mean").nan_to_num(0.0, 0.0, 0.0),
        data.labels,
        torch.isin(data.ids, part.poisoned),
        data.num_classes,
    )
    return Snapshot(step, scores, health, evidence)


def most_telling(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Choose the healthy snapshot whose D_p looks purest, without the truth.

    FCT separates best right after the backdoor is learnt, fades as clean features sharpen, and
    comes back under L_intra. On CIFAR-10 (BadNets, seed 1) D_p's precision was .05, .95, .84, .43
    after 1 to 4 epochs of cross-entropy and .81, .83 after 1 and 2 of L_intra. Separation says
    whether the backdoor is there at all (2.7, 4.0, 3.9, 3.6, 5.1, 5.2), the share of D_p in its
    commonest class how pure D_p is (.37, .95, .84, .43, .81, .83).

    Args:
        snapshots: at least one, in order of time.

    Returns:
        Among snapshots with evidence (see :class:`VerdictThresholds`) the one whose D_p is the
        most concentrated, the earliest of equals; without any the one with the largest separation.

    Raises:
        ValueError: every snapshot collapsed.

    Source: DESIGN section 4, required guards ("a selection or averaging over epochs that uses no
        ground truth").
    """
    healthy = [s for s in snapshots if not s.health.collapsed]
    if not healthy:
        reasons = "; ".join(f"step {s.step}: {', '.join(s.health.reasons)}" for s in snapshots)
        raise ValueError(
            f"detect: the probe collapsed at every moment it was scored ({reasons}); its scores "
            "would be noise. Lower its learning rate or change its seed"
        )
    limit = VerdictThresholds().separation_yes
    telling = [s for s in healthy if s.evidence.separation >= limit]
    if not telling:
        return max(healthy, key=lambda s: s.evidence.separation)
    return max(telling, key=lambda s: (s.evidence.gathered, s.evidence.concentration))


def read_result(path: Path, samples: int, identity: Mapping[str, Any]) -> FctResult:
    """Read the scores that :func:`take_snapshot` kept, if they are the ones that are asked for.

    Args:
        path: the file.
        samples: N, size of the set.
        identity: what the scores must have been made with; further keys of the file do not count.

    Returns:
        Scores of each draw, feature lengths and predictions.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, of another set, or of a run with other settings.
    """
    tensors, metadata = io.read_tensors(path)
    if metadata.get("format") != FORMAT or tensors["norms"].numel() != samples:
        # Not "delete this file": the probe of an earlier moment is gone and cannot score again.
        raise ValueError(
            f"{path}: expected scores of {samples} samples (format {FORMAT}); start in a new "
            "folder, or delete the whole folder"
        )
    stored = json.loads(metadata["identity"])
    differing = differing_keys({key: stored.get(key) for key in identity}, identity)
    if differing:
        raise ValueError(
            f"{path} holds scores of a run with other settings: {'; '.join(differing)}; use a new "
            "folder, or the same settings"
        )
    return FctResult(tensors["fct"], tensors["norms"], tensors["predicted"])


def _write(path: Path, result: FctResult, identity: Mapping[str, Any]) -> None:
    tensors = {"fct": result.fct, "norms": result.norms, "predicted": result.predicted}
    metadata = {"format": FORMAT, "identity": json.dumps(identity, sort_keys=True)}
    io.write_tensors(path, tensors, metadata)
