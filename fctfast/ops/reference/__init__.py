"""The ops in plain torch: slow, readable, float64-capable; the compiled ones are tested by them."""

from __future__ import annotations

from fctfast.ops.reference.contrastive_views import contrastive_views, sample_contrastive
from fctfast.ops.reference.fct_views import fct_views
from fctfast.ops.reference.feature_distance import feature_distance
from fctfast.ops.reference.sample_rotate_affine import sample_rotate_affine
from fctfast.ops.reference.supcon_loss import (
    contrastive_loss,
    official_positives,
    pair_weights,
    same_group,
    supcon_loss,
)
from fctfast.ops.reference.warp_distance import warp_distance

__all__ = [
    "contrastive_loss",
    "contrastive_views",
    "fct_views",
    "feature_distance",
    "official_positives",
    "pair_weights",
    "same_group",
    "sample_contrastive",
    "sample_rotate_affine",
    "supcon_loss",
    "warp_distance",
]
