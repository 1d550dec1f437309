"""What was found, in numbers and pictures; the only room, with the CLI, that reads the truth."""

from __future__ import annotations

from fctfast.report.evaluate import evaluate, predict
from fctfast.report.histogram import save_histogram
from fctfast.report.metrics import auroc, split_quality

__all__ = ["auroc", "evaluate", "predict", "save_histogram", "split_quality"]
