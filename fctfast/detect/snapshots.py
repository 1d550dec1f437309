"""The probe at moments of its training, under each tau: compared on a sample, without truth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.detect.batch_norm import keep_statistics, recompute_batch_norm, statistics_batches
from fctfast.detect.evidence import Evidence, weigh
from fctfast.detect.fct import FctResult, FctSettings, fct
from fctfast.detect.guards import Health, check_collapse
from fctfast.detect.mixture import MIN_GROUP
from fctfast.seeding import permutation
from fctfast.train import Progress
from fctfast.train.differences import differing_keys

FORMAT = "fctfast-snapshot-4"
_WEIGHTS = "probe."
_FCT = "fct."

SAMPLE_GROUP = 10
"""Smallest group of a class in the sample on which moments are compared."""


@dataclass(frozen=True)
class Snapshot:
    """The probe at one moment, and what a sample of the set looks like to it under one tau.

    Args:
        step: optimiser steps the probe had done.
        transform: tau by name.
        result: scores of the sample.
        weights: the probe's state, with the statistics it scored with.
        health: what the collapse check found.
        evidence: how much the sample's scores look like those of a poisoned set.
    """

    step: int
    transform: str
    result: FctResult
    weights: dict[str, Tensor]
    health: Health
    evidence: Evidence

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "step": self.step,
            "transform": self.transform,
            **self.health.summary(),
            "separation": self.evidence.separation,
            "class_separation": list(self.evidence.class_separation),
        }


def sample_of(data: ImageSet, per_class: int, seed: int) -> ImageSet:
    """Draw the sample on which moments are compared: up to so many of each label.

    Args:
        data: the set.
        per_class: samples of each label, at least 1.
        seed: key of the draw.

    Returns:
        The sample, in the order of the set; the set itself when it is no larger.
    """
    order = permutation(len(data), seed, "moments")
    labels = data.labels[order]
    kept = torch.zeros(len(data), dtype=torch.bool)
    for number in range(data.num_classes):
        kept[order[labels == number][:per_class]] = True
    return data if bool(kept.all()) else data.select(kept.nonzero().flatten())


def take_snapshots(
    model: nn.Module,
    data: ImageSet,
    sample: ImageSet,
    *,
    step: int,
    transforms: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    settings: FctSettings,
    recompute: bool,
    device: torch.device,
    progress: Progress | None = None,
    path: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> list[Snapshot]:
    """Score a sample of the set with the probe as it is now; the probe does not notice.

    Args:
        model: the probe.
        data: the suspicious set, for batch-norm statistics.
        sample: what is scored, see :func:`sample_of`.
        step: optimiser steps done.
        transforms: names of tau, each of which scores the sample.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of tau and of the statistics' images.
        settings: draws, batch size, precision; its tau is not used.
        recompute: score with recomputed batch-norm statistics (robust) or as they run (published).
        device: where the model is.
        progress: where to report.
        path: file that keeps the result; one that exists is read instead of scoring again.
        identity: all that the scores depend on (data, probe, how they are scored), ready for JSON;
            kept in the file with the step, and compared before the file is read instead.

    Returns:
        One a tau, in their order: scores, weights, health and evidence.

    Raises:
        ValueError: the file is damaged, of another set, or of a run with other settings.
    """
    whole = {**(identity or {}), "step": step}
    if path is not None and path.exists():
        results, weights = read_snapshot(path, len(sample), whole)
    else:
        with keep_statistics(model):
            if recompute:
                batches = statistics_batches(data, mean=mean, std=std, seed=seed, device=device)
                recompute_batch_norm(model, batches)
            results = {
                name: fct(
                    model,
                    sample,
                    mean=mean,
                    std=std,
                    seed=seed,
                    settings=replace(settings, transform=name),
                    device=device,
                    progress=progress,
                )
                for name in transforms
            }
            weights = {
                name: value.detach().cpu().clone() for name, value in model.state_dict().items()
            }
        if path is not None:
            write_results(path, results, whole, weights)
    taken = []
    for name in transforms:
        result = results[name]
        health = check_collapse(
            result.score(settings.over_draws),
            result.norms,
            result.predicted,
            sample.labels,
            sample.num_classes,
        )
        evidence = evidence_of(result, sample, of=data, progress=progress)
        taken.append(Snapshot(step, name, result, weights, health, evidence))
    return taken


def evidence_of(
    result: FctResult,
    data: ImageSet,
    of: ImageSet | None = None,
    *,
    progress: Progress | None = None,
) -> Evidence:
    """Weigh scores, whatever the mode: by their geometric mean over draws.

    Args:
        result: scores of `data`.
        data: what was scored.
        of: the set that `data` is a sample of: a group that counts in the set counts in the sample
            with its share of samples, down to SAMPLE_GROUP.
        progress: where to report.
    """
    # Scores that are not finite are for the collapse check to report; as evidence they are none.
    finite = result.score("geometric").nan_to_num(0.0, 0.0, 0.0)
    whole, group = data if of is None else of, MIN_GROUP
    if whole is not data:
        group = max(SAMPLE_GROUP, math.ceil(MIN_GROUP * len(data) / len(whole)))
    return weigh(
        finite,
        data.labels,
        data.num_classes,
        min_group=group,
        sizes=torch.bincount(whole.labels, minlength=data.num_classes),
        progress=progress,
    )


def most_telling(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Choose the healthy one in which a class falls into two groups most clearly, without truth.

    FCT comes and goes while a probe learns: it separates once the backdoor is learnt, fades as
    clean features sharpen, and comes back under L_intra. And no tau is best for every trigger: a
    patch breaks under a shift that clean features hardly notice, stripes survive it (docs/method.md
    has the figures).

    Args:
        snapshots: at least one, in order of time.

    Returns:
        The one with the largest separation of any class, the latest of equals (where no class falls
        in two, a probe that has learnt more has more to say) and under the first tau.

    Raises:
        ValueError: every snapshot collapsed.

    Source: docs/method.md, "The SD module" (several moments; no ground truth is used).
    """
    healthy = [s for s in snapshots if not s.health.collapsed]
    if not healthy:
        reasons = "; ".join(
            f"step {s.step}, {s.transform}: {', '.join(s.health.reasons)}" for s in snapshots
        )
        raise ValueError(
            f"detect: the probe collapsed at every moment it was scored ({reasons}); its scores "
            "would be noise. Lower its learning rate or change its seed"
        )
    return max(healthy, key=lambda s: (s.evidence.separation, s.step))


def read_snapshot(
    path: Path, samples: int, identity: Mapping[str, Any]
) -> tuple[dict[str, FctResult], dict[str, Tensor]]:
    """Read the scores that :func:`write_results` kept, if they are the ones that are asked for.

    Args:
        path: the file.
        samples: N, number of samples that were scored.
        identity: what the scores must have been made with; further keys of the file do not count.

    Returns:
        (for each tau: scores of each draw, feature lengths and predictions; the probe's weights).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, of another set, or of a run with other settings.
    """
    tensors, metadata = io.read_tensors(path)
    results = {
        name.removeprefix(_FCT): FctResult(value, tensors["norms"], tensors["predicted"])
        for name, value in tensors.items()
        if name.startswith(_FCT)
    }
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
    weights = {
        name.removeprefix(_WEIGHTS): value
        for name, value in tensors.items()
        if name.startswith(_WEIGHTS)
    }
    return results, weights


def write_results(
    path: Path,
    results: Mapping[str, FctResult],
    identity: Mapping[str, Any],
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Keep scores by tau, all that they depend on and, if given, the weights that made them."""
    first = next(iter(results.values()))  # originals are the same under every tau
    tensors = {"norms": first.norms, "predicted": first.predicted}
    tensors |= {f"{_FCT}{name}": result.fct for name, result in results.items()}
    tensors |= {f"{_WEIGHTS}{name}": value for name, value in (weights or {}).items()}
    metadata = {"format": FORMAT, "identity": json.dumps(identity, sort_keys=True)}
    io.write_tensors(path, tensors, metadata)
