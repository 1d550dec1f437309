"""What every audit leaves in its run folder for a person to look at."""

from __future__ import annotations

from pathlib import Path

from fctfast.attacks.truth import Truth
from fctfast.data import ImageSet
from fctfast.detect import Scores, Split
from fctfast.report.histogram import save_histogram
from fctfast.report.suspicious import save_contact_sheet, save_suspicious_list

TITLE = 60
HISTOGRAM, LIST, SHEET = "histogram.png", "suspicious.csv", "suspicious.png"


def save_findings(
    folder: str | Path, data: ImageSet, scores: Scores, split: Split, *, truth: Truth | None = None
) -> dict[str, Path]:
    """Write the histogram, the list of suspicious samples and their pictures.

    Args:
        folder: run folder.
        data: the images that were scored.
        scores: of every sample.
        split: of the same scores.
        truth: drawn into the histogram if given; default None.

    Returns:
        File by purpose: "histogram", "list", and "sheet" unless D_p is empty.
    """
    folder = Path(folder)
    files = {"histogram": folder / HISTOGRAM, "list": folder / LIST}
    short = data.name if len(data.name) <= TITLE else f"…{data.name[-TITLE:]}"
    title = f"FCT scores of {short}"
    save_histogram(files["histogram"], scores, split, truth=truth, title=title)
    save_suspicious_list(files["list"], scores, split, data.class_names)
    if len(split.poisoned):
        files["sheet"] = folder / SHEET
        save_contact_sheet(files["sheet"], data, scores, split)
    return files
