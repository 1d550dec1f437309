"""fctfast: find poisoned training samples by FCT and repair backdoored models.

The names below are imported from their rooms when they are first used, so that ``import fctfast``
and ``fctfast --help`` do not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fctfast.attacks import poison as poison
    from fctfast.attacks import trigger_test_set as trigger_test_set
    from fctfast.data import ImageSet as ImageSet
    from fctfast.data import open_dataset as open_dataset
    from fctfast.defend import DBR as DBR
    from fctfast.defend import DST as DST
    from fctfast.defend import Repaired as Repaired
    from fctfast.defend import Secured as Secured
    from fctfast.detect import Detection as Detection
    from fctfast.detect import Scores as Scores
    from fctfast.detect import Split as Split
    from fctfast.detect import detect as detect
    from fctfast.detect import score as score
    from fctfast.models import as_feature_model as as_feature_model
    from fctfast.models import create_model as create_model
    from fctfast.models import load_model as load_model
    from fctfast.models import save_model as save_model
    from fctfast.report import evaluate as evaluate

__version__ = "0.1.0"

_ROOM_OF = {
    "DBR": "defend",
    "DST": "defend",
    "Detection": "detect",
    "ImageSet": "data",
    "Repaired": "defend",
    "Scores": "detect",
    "Secured": "defend",
    "Split": "detect",
    "as_feature_model": "models",
    "create_model": "models",
    "detect": "detect",
    "evaluate": "report",
    "load_model": "models",
    "open_dataset": "data",
    "poison": "attacks",
    "save_model": "models",
    "score": "detect",
    "trigger_test_set": "attacks",
}

__all__ = [  # noqa: PLE0604
    *_ROOM_OF,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'fctfast' has no attribute {name!r}")
    module = importlib.import_module(f"fctfast.{_ROOM_OF[name]}")
    # `fctfast.detect` is a room and a function; the room itself can be called (see its end).
    return module if name == _ROOM_OF[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOM_OF])
