"""A small set with a backdoor, and settings small enough to train in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, FctSettings, ProbeSettings, detect
from fctfast.train import Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings


@pytest.fixture(scope="session")
def small_settings() -> DetectSettings:
    """Two passes of cross-entropy, two of L_intra, the last two scored."""
    return DetectSettings(
        probe=ProbeSettings(
            network=ModelSettings(width=4),
            learn=Budget(epochs=2),
            spread=Budget(epochs=2),
            fit=FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02)),
        ),
        score=replace(FctSettings(), draws=2, batch_size=90),
        snapshots=2,
    )


@pytest.fixture(scope="session")
def finished(
    small_set: ImageSet, small_settings: DetectSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detection, Path]:
    """An audit and the folder it was written to; not to be changed."""
    folder = tmp_path_factory.mktemp("detect")
    return detect(
        small_set, settings=small_settings, seed=3, out=folder, alpha_c=0.25, alpha_p=0.1
    ), folder
