"""Everything a run folder holds, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctfast import io
from fctfast.attacks.truth import Truth
from fctfast.defend.given import DETECT_FOLDER
from fctfast.detect import Detection
from fctfast.report.metrics import split_quality

RUN, METRICS, REPAIR = "run.json", "metrics.json", "repair.json"


def find_detection(folder: str | Path) -> Path | None:
    """Find the detection of a run folder.

    Args:
        folder: of detect (the detection lies in it), or of dbr or dst (in its folder ``detect``).

    Returns:
        The folder of the detection, or None.
    """
    for place in (Path(folder), Path(folder) / DETECT_FOLDER):
        if (place / "detection.json").is_file():
            return place
    return None


def summarise(folder: str | Path, truth: Truth | None = None) -> dict[str, Any]:
    """Collect the results of a run folder.

    Args:
        folder: written by detect, dbr, dst or demo.
        truth: which samples are poisoned; adds how right the split is. Default None.

    Returns:
        What is there of: run (settings, versions, status), detection (split, verdict, counts),
        quality (against the truth), repair (passes, shares), metrics, and the list of files.

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
