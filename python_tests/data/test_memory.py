"""The memory guard speaks in time and in numbers."""

from __future__ import annotations

import sys

import pytest

from fctfast.data import memory


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc: Linux only")
def test_free_memory_is_plausible() -> None:
    free = memory.available_memory()
    assert free is not None
    assert 1 << 26 < free < 1 << 50


def test_the_guard_counts_what_will_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    memory.require_memory("set", 10, (10, 7, 1))  # 700 of 1000 bytes: allowed
    with pytest.raises(ValueError, match=r"set: 10 images of 10x71 pixels: takes .* --image-size"):
        memory.require_memory("set", 10, (10, 71, 1))
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.require_memory("set", 10**9, (1000, 1000, 3))  # a system that does not tell
