"""What an audit leaves behind, saved and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast import io
from fctfast.detect.rate import PoisonRate
from fctfast.detect.scores import PathLike, Scores
from fctfast.detect.shares import AUTO, PAPER, Share, check_shares, resolve_shares
from fctfast.detect.split import Split, split_scores
from fctfast.detect.verdict import Verdict, weigh
from fctfast.models import ModelInfo, save_model

FORMAT = "fctfast-detection-3"
SCORES_FILE, RESULT_FILE, PROBE_FILE = "scores.parquet", "detection.json", "probe.safetensors"


@dataclass(frozen=True, eq=False)
class Detection:
    """The result of an audit.

    Args:
        scores: one FCT a sample.
        split: D_c, D_u, D_p and the thresholds.
        verdict: whether there is evidence of poisoning at all.
        rate: estimated share of poisoned samples; None without evidence, and in published mode.
        snapshots: health and separation of each scored moment of the probe, under each tau.
        settings: how it was made, ready for JSON.
        probe: the probe that made the scores, or None when loaded.
        info: description of the probe, or None when loaded.
    """

    scores: Scores
    split: Split
    verdict: Verdict
    snapshots: tuple[dict[str, Any], ...]
    settings: dict[str, Any]
    rate: PoisonRate | None = None
    probe: nn.Module | None = None
    info: ModelInfo | None = None

    def summary(self) -> dict[str, Any]:
        """Everything but the per-sample scores, ready for JSON."""
        return {
            "format": FORMAT,
            "settings": self.settings,
            "split": self.split.summary(),
            "verdict": self.verdict.summary(),
            "rate": None if self.rate is None else self.rate.summary(),
            "snapshots": list(self.snapshots),
            "samples": len(self.scores),
            "quarantined": len(self.scores.quarantined),
        }

    def resplit(self, alpha_c: Share | None = None, alpha_p: Share | None = None) -> Detection:
        """Take other shares of the same scores.

        Args:
            alpha_c: share taken as clean, or "auto"; default: as it is.
            alpha_p: share taken as poisoned, or "auto"; default: as it is.

        Returns:
            The same detection with another split. A saved one stays as it was saved.

        Raises:
            ValueError: impossible shares, or one of less than one sample.

        Example:
            >>> flagged = found.resplit(alpha_p=0.05).split.poisoned
        """
        kept = self.split.alpha_c if alpha_c is None else alpha_c
        flagged = self.split.alpha_p if alpha_p is None else alpha_p
        if self.settings.get("mode") == "published":
            kept = PAPER[0] if kept == AUTO else kept
            flagged = PAPER[1] if flagged == AUTO else flagged
        check_shares(kept, flagged)
        asked = {"alpha_c": alpha_c, "alpha_p": alpha_p}
        return replace(
            self,
            split=self.scores.split(*self._numbers(kept, flagged)),
            settings=self.settings | {name: a for name, a in asked.items() if a is not None},
        )

    def save(self, folder: PathLike) -> Path:
        """Write scores.parquet, detection.json and, if there is one, the probe.

        Args:
            folder: made if missing.

        Returns:
            The folder.
        """
        folder = Path(folder)
        self.scores.save(folder / SCORES_FILE, self.split)
        if self.probe is not None and self.info is not None:
            save_model(folder / PROBE_FILE, self.probe, self.info)
        # Last: a folder with this file is complete.
        io.write_json(folder / RESULT_FILE, self.summary())
        return folder

    def _numbers(self, alpha_c: Share, alpha_p: Share) -> tuple[float, float]:
        if not isinstance(alpha_c, str) and not isinstance(alpha_p, str):
            return alpha_c, alpha_p
        scores = self.scores
        nobody = torch.zeros(len(scores), dtype=torch.bool)
        return resolve_shares(
            alpha_c,
            alpha_p,
            fct=scores.fct,
            labels=scores.labels,
            suspected=nobody if scores.suspected is None else scores.suspected,
            evidence=weigh(scores.fct, scores.labels, int(scores.labels.max()) + 1),
            rate=self.rate,
        )

    @classmethod
    def load(cls, folder: PathLike) -> Detection:
        """Read what :meth:`save` wrote (without the probe).

        Raises:
            FileNotFoundError: no detection there.
            ValueError: damaged, or not a detection.
        """
        folder = Path(folder)
        raw = io.read_json(folder / RESULT_FILE)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ValueError(
                f"{folder / RESULT_FILE} is not the result of a detection (format {FORMAT}); one "
                "that an older version wrote has to be made again"
            )
        scores = Scores.load(folder / SCORES_FILE, raw["settings"])
        shares = raw["split"]
        split = split_scores(
            scores.ids,
            scores.fct,
            suspected=scores.suspected,
            alpha_c=shares["alpha_c"],
            alpha_p=shares["alpha_p"],
        )
        if split.summary() != shares:
            raise ValueError(f"{folder}: {SCORES_FILE} and {RESULT_FILE} are of different runs")
        return cls(
            scores=scores,
            split=split,
            verdict=Verdict.from_summary(raw["verdict"]),
            rate=None if raw["rate"] is None else PoisonRate(**raw["rate"]),
            snapshots=tuple(raw["snapshots"]),
            settings=raw["settings"],
        )
