"""What was found, in numbers and pictures; the only room, with the CLI, that reads the truth."""

from __future__ import annotations

from fctfast.report.evaluation import evaluate
from fctfast.report.feature_map import save_feature_map
from fctfast.report.findings import save_findings
from fctfast.report.histogram import save_histogram
from fctfast.report.metrics import auroc, split_quality
from fctfast.report.moments import save_moments
from fctfast.report.preview import is_preview, save_preview
from fctfast.report.summary import summarise
from fctfast.report.suspicious import save_contact_sheet, save_suspicious_list

__all__ = [
    "auroc",
    "evaluate",
    "is_preview",
    "save_contact_sheet",
    "save_feature_map",
    "save_findings",
    "save_histogram",
    "save_moments",
    "save_preview",
    "save_suspicious_list",
    "split_quality",
    "summarise",
]
