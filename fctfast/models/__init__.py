"""Networks: a ResNet family for small and large images, and adapters for everybody else's.

To add a network, write one file here with a builder under ``@register("<name>")`` (see
``resnet.py``); to use one you have, pass it through :func:`as_feature_model`.
"""

from __future__ import annotations

from fctfast.models.adapters import FeatureAdapter, as_feature_model, without_adapter
from fctfast.models.checkpoint import (
    ModelInfo,
    load_model,
    load_weights,
    read_weights,
    save_model,
)
from fctfast.models.pretrained import load_pretrained
from fctfast.models.protocol import FeatureModel
from fctfast.models.registry import ModelSpec, create_model, model_names, register

__all__ = [
    "FeatureAdapter",
    "FeatureModel",
    "ModelInfo",
    "ModelSpec",
    "as_feature_model",
    "create_model",
    "load_model",
    "load_pretrained",
    "load_weights",
    "model_names",
    "read_weights",
    "register",
    "save_model",
    "without_adapter",
]
