"""Everything a run folder holds, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctfast import io
from fctfast.attacks.truth import Truth
from fctfast.defend.dst import title_of
from fctfast.defend.given import find_detection
from fctfast.detect import Detection
from fctfast.report.metrics import split_quality

RUN, METRICS, REPAIR, SECURE = "run.json", "metrics.json", "repair.json", "secure.json"


def summarise(folder: str | Path, truth: Truth | None = None) -> dict[str, Any]:
    """Collect the results of a run folder.

    Args:
        folder: written by detect, dbr, dst or demo.
        truth: which samples are poisoned; adds how right the split is. Default None.

    Returns:
        What is there of: run (settings, versions, status), detection (split, verdict, counts),
        quality (against the truth), repair or secure (passes, shares), metrics, and the list of
        files.

    Raises:
        FileNotFoundError: the folder is missing or holds no results.
        ValueError: a file is damaged, or the truth is of another set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"report: expected a run folder, {folder} is not a folder")
    result: dict[str, Any] = {}
    if (folder / RUN).is_file():
        result["run"] = io.read_json(folder / RUN)
    place = find_detection(folder)
    if place is not None:
        detection = Detection.load(place)
        summary = detection.summary()
        result["detection"] = {
            name: summary[name] for name in ("samples", "quarantined", "split", "verdict")
        }
        if truth is not None:
            result["quality"] = split_quality(detection.scores, detection.split, truth)
    if (folder / REPAIR).is_file():
        result["repair"] = _repair(io.read_json(folder / REPAIR))
    if (folder / SECURE).is_file():
        result["secure"] = _secure(io.read_json(folder / SECURE))
    if (folder / METRICS).is_file():
        result["metrics"] = io.read_json(folder / METRICS)
    if not result:
        raise FileNotFoundError(
            f"report: {folder} holds no results; give the run folder of detect, dbr, dst or demo"
        )
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    result["files"] = [p.relative_to(folder).as_posix() for p in files]
    return result


def _repair(raw: dict[str, Any]) -> dict[str, Any]:
    kept = raw.get("kept", {})
    return {
        "paper_share": raw.get("paper_share", False),
        "passes": raw.get("passes"),
        "poison_still_predicted": kept.get("dp_kept"),
        "clean_still_predicted": kept.get("dc_kept"),
    }


def _secure(raw: dict[str, Any]) -> dict[str, Any]:
    passes, kept = raw["history"], raw["kept"]
    settings = raw["settings"]
    return {
        "run": title_of(settings["extractor"]["learning"], settings["classifier"]["loss"]),
        "extractor_passes": len(passes["extractor"]),
        "extractor_loss": passes["extractor"][-1]["loss"] if passes["extractor"] else None,
        "classifier_passes": len(passes["classifier"]),
        "poison_still_predicted": kept["dp_kept"],
        "clean_still_predicted": kept["dc_kept"],
    }
