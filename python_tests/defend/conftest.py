"""A small set with a backdoor, and D-BR and D-ST small enough to run in seconds."""

from __future__ import annotations

import pytest

from fctfast.defend import (
    BaseSettings,
    ClassifierSettings,
    DBRConfig,
    DSTConfig,
    ExtractorSettings,
    RemovalSettings,
)
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings
from fctfast.train import AugmentSettings, Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

QUICK = FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02))


@pytest.fixture(scope="session")
def config() -> DBRConfig:
    """Three passes of base training, two passes of BR."""
    return DBRConfig(
        detect=DetectSettings(
            probe=ProbeSettings(network=ModelSettings(width=4), spread=Budget(epochs=0), fit=QUICK),
            score=FctSettings(draws=2, batch_size=90),
            alpha_c=0.25,
            alpha_p=0.1,
        ),
        base=BaseSettings(
            network=ModelSettings(width=4),
            budget=Budget(epochs=3),
            fit=QUICK,
            augment=AugmentSettings(crop=1, flip=True),
        ),
        removal=RemovalSettings(
            budget=Budget(epochs=2), fit=QUICK, augment=AugmentSettings(crop=1, flip=True)
        ),
    )


@pytest.fixture(scope="session")
def secure(config: DBRConfig) -> DSTConfig:
    """D-BR's small audit, two passes of each stage."""
    return DSTConfig(
        detect=config.detect,
        extractor=ExtractorSettings(
            network=ModelSettings(width=4), projection=8, budget=Budget(epochs=2), fit=QUICK
        ),
        classifier=ClassifierSettings(budget=Budget(epochs=2), fit=QUICK),
    )
