"""The SD module: train a probe, score every sample by FCT, split the set, say what it means.

``detect`` audits a set with a probe of its own; ``score`` uses a model you have. To add a metric,
write one file here with a function that gives one float a sample, above 0 and higher for more
suspicious. ``scores = Scores.of(data, values)`` splits and saves it as FCT, and
``verdict(scores.fct, scores.labels, data.num_classes)`` judges it; ``fct.py`` is the one to read.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fctfast.detect.audit import detect
from fctfast.detect.batch_norm import recompute_batch_norm
from fctfast.detect.detection import Detection
from fctfast.detect.evidence import Evidence, VerdictThresholds, weigh
from fctfast.detect.fct import FctResult, FctSettings, fct
from fctfast.detect.guards import Health, check_collapse
from fctfast.detect.l_intra import l_intra
from fctfast.detect.probe import ProbeSettings, train_probe
from fctfast.detect.rate import PoisonRate, poison_rate
from fctfast.detect.scores import Scores
from fctfast.detect.scoring import score
from fctfast.detect.settings import DetectSettings
from fctfast.detect.split import Split, split_scores
from fctfast.detect.verdict import Verdict, verdict

__all__ = [
    "DetectSettings",
    "Detection",
    "Evidence",
    "FctResult",
    "FctSettings",
    "Health",
    "PoisonRate",
    "ProbeSettings",
    "Scores",
    "Split",
    "Verdict",
    "VerdictThresholds",
    "check_collapse",
    "detect",
    "fct",
    "l_intra",
    "poison_rate",
    "recompute_batch_norm",
    "score",
    "split_scores",
    "train_probe",
    "verdict",
    "weigh",
]


class _Room(ModuleType):
    """``fctfast.detect(data)`` runs the audit, ``fctfast.detect.Scores`` is a name of the room."""

    def __call__(self, *args: Any, **kwargs: Any) -> Detection:
        return detect(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
