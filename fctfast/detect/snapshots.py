"""Scores taken at several moments of the probe's training, checked one by one, then averaged."""

from __future__ import annotations

from collections.abc import Sequence
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
from fctfast.train import Progress

FORMAT = "fctfast-snapshot-1"


@dataclass(frozen=True)
class Snapshot:
    """Scores of a set at one moment.

    Args:
        step: optimiser steps the probe had done.
        fct: float64 [N], mean over the draws.
        health: what the collapse check found.
    """

    step: int
    fct: Tensor
    health: Health

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"step": self.step, **self.health.summary()}


def take_snapshot(
    model: nn.Module,
    data: ImageSet,
    *,
    step: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    settings: FctSettings,
    recompute: bool,
    device: torch.device,
    progress: Progress | None = None,
    path: Path | None = None,
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
        recompute: score with recomputed batch-norm statistics (robust) or as they run (published).
        device: where the model is.
        progress: where to report.
        path: file that keeps the result; one that exists is read instead of scoring again.

    Returns:
        Scores and health.

    Raises:
        ValueError: the file is damaged or of another set.
    """
    result = _read(path, len(data)) if path is not None and path.exists() else None
    if result is None:
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
            _write(path, result)
    health = check_collapse(
        result.mean, result.norms, result.predicted, data.labels, data.num_classes
    )
    return Snapshot(step, result.mean, health)


def combine(snapshots: Sequence[Snapshot]) -> Tensor:
    """Average the scores of the snapshots that did not collapse.

    The scale of features drifts while the probe trains, so each snapshot is divided by its median
    before averaging, and the result is brought back to the last one's scale. One snapshot is
    returned as it is.

    Args:
        snapshots: at least one, in order of time.

    Returns:
        float64 [N].

    Raises:
        ValueError: every snapshot collapsed.

    Source: DESIGN section 4, required guards ("averaging over epochs that uses no ground truth").
    """
    healthy = [s for s in snapshots if not s.health.collapsed]
    if not healthy:
        reasons = "; ".join(f"step {s.step}: {', '.join(s.health.reasons)}" for s in snapshots)
        raise ValueError(
            f"detect: the probe collapsed at every moment it was scored ({reasons}); its scores "
            "would be noise. Lower its learning rate or change its seed"
        )
    if len(healthy) == 1:
        return healthy[0].fct
    scales = [s.fct.median().clamp_min(torch.finfo(torch.float64).tiny) for s in healthy]
    ratios = torch.stack([s.fct / scale for s, scale in zip(healthy, scales, strict=True)])
    return ratios.mean(0) * scales[-1]


def _write(path: Path, result: FctResult) -> None:
    tensors = {"fct": result.fct, "norms": result.norms, "predicted": result.predicted}
    io.write_tensors(path, tensors, {"format": FORMAT})


def _read(path: Path, samples: int) -> FctResult:
    tensors, metadata = io.read_tensors(path)
    if metadata.get("format") != FORMAT or tensors["norms"].numel() != samples:
        raise ValueError(f"{path}: expected scores of {samples} samples; delete it to score again")
    return FctResult(tensors["fct"], tensors["norms"], tensors["predicted"])
