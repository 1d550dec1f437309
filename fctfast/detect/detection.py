"""What an audit leaves behind, saved and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from fctfast import io
from fctfast.detect.rate import PoisonRate
from fctfast.detect.scores import PathLike, Scores
from fctfast.detect.shares import PAPER, Share, check_shares, resolve_shares
from fctfast.detect.split import Split, split_scores
from fctfast.detect.verdict import Verdict
from fctfast.models import ModelInfo, save_model

FORMAT = "fctfast-detection-5"
SCORES_FILE, RESULT_FILE, PROBE_FILE = "scores.parquet", "detection.json", "probe.safetensors"


@dataclass(frozen=True, eq=False)
class Detection:
    """The result of an audit.

    Args:
        scores: one FCT a sample.
        split: D_c, D_u, D_p and the thresholds.
        verdict: whether there is evidence of poisoning at all.
        rate: estimated share of poisoned samples; None without evidence, and in published mode.
        auto: alpha_c and alpha_p that "auto" stands for: by the scores, or the paper's in published
            mode.
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
    auto: tuple[float, float] = PAPER
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
            "auto": list(self.auto),
            "snapshots": list(self.snapshots),
            "samples": len(self.scores),
            "quarantined": len(self.scores.quarantined),
        }

    def resplit(self, alpha_c: Share | None = None, alpha_p: Share | None = None) -> Detection:
        """Take other shares of the same scores.

        Args:
            alpha_c: share taken as clean, or "auto"; default: as it was asked for.
            alpha_p: share taken as poisoned, or "auto"; default: as it was asked for.

        Returns:
            The same detection with another split. A saved one stays as it was saved.

        Raises:
            ValueError: impossible shares, or one of less than one sample.

        Example:
            >>> flagged = found.resplit(alpha_p=0.05).split.poisoned
        """
        asked = {
            "alpha_c": self.settings.get("alpha_c", self.split.alpha_c),
            "alpha_p": self.settings.get("alpha_p", self.split.alpha_p),
        }
        given = {"alpha_c": alpha_c, "alpha_p": alpha_p}
        asked |= {name: share for name, share in given.items() if share is not None}
        check_shares(**asked)
        settings = self.settings | asked
        scores = replace(self.scores, settings=settings)
        split = scores.split(*resolve_shares(**asked, auto=self.auto, samples=len(scores)))
        return replace(self, scores=scores, split=split, settings=settings)

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
            auto=(raw["auto"][0], raw["auto"][1]),
            snapshots=tuple(raw["snapshots"]),
            settings=raw["settings"],
        )
