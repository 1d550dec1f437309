"""Defences: what makes a model safe once D_p and D_c are known.

``DBR`` repairs a backdoored model, ``DST`` trains a secure one from scratch. To add a defence,
write one file here: a frozen settings class, and a class with
``run(data, *, detection=None, out=None, seed=0)`` that returns a model. It gets D_p and D_c from
``parts(images, detection.split)`` and trains through ``fctfast.train.fit`` with losses
``(features, logits, labels) -> scalar``; ``dbr.py`` shows it, ``losses.py`` has the equations.
"""

from __future__ import annotations

from fctfast.defend.base import BaseSettings, train_base
from fctfast.defend.classifier import ClassifierSettings, train_classifier
from fctfast.defend.dbr import DBR, DBRConfig, Repaired
from fctfast.defend.dst import DST, DSTConfig, Secured
from fctfast.defend.extractor import ExtractorSettings, train_extractor
from fctfast.defend.given import find_detection, parts
from fctfast.defend.losses import (
    Contrastive,
    JointRemoval,
    MixedCrossEntropy,
    l_relearn,
    l_unlearn,
)
from fctfast.defend.removal import RemovalSettings, remove_backdoor

__all__ = [
    "DBR",
    "DST",
    "BaseSettings",
    "ClassifierSettings",
    "Contrastive",
    "DBRConfig",
    "DSTConfig",
    "ExtractorSettings",
    "JointRemoval",
    "MixedCrossEntropy",
    "RemovalSettings",
    "Repaired",
    "Secured",
    "find_detection",
    "l_relearn",
    "l_unlearn",
    "parts",
    "remove_backdoor",
    "train_base",
    "train_classifier",
    "train_extractor",
]
