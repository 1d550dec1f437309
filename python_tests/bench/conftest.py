"""The benchmark scripts, imported as they import each other: from their own folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from fctfast.detect import DetectSettings, ProbeSettings
from fctfast.train import Budget, FitSettings
from fctfast.train.recipes import ModelSettings

BENCH = Path(__file__).resolve().parents[2] / "bench"
Scripts = Callable[[Sequence[str]], AbstractContextManager[SimpleNamespace]]


@pytest.fixture(scope="session")
def scripts() -> Scripts:
    """`with scripts(names) as bench` has the modules as attributes, and forgets them at its end."""

    @contextmanager
    def imported(names: Sequence[str]) -> Iterator[SimpleNamespace]:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(BENCH))
            yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
            for name in names:
                sys.modules.pop(name, None)

    return imported


@pytest.fixture(scope="session")
def tiny_probe() -> DetectSettings:
    """Settings of an audit whose probe takes a second on 200 digits: 8 steps and 4 of spreading."""
    probe = ProbeSettings(
        network=ModelSettings(width=4),
        learn=Budget(2),
        spread=Budget(1),
        fit=FitSettings(batch_size=50),
    )
    return DetectSettings(probe=probe)
