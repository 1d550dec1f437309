"""fctfast: find poisoned training samples by FCT and repair backdoored models."""

from __future__ import annotations

__version__ = "0.1.0"
