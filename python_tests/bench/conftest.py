"""The benchmark scripts, imported as they import each other: from their own folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

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
