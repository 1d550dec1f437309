"""Class names that fit, or numbers."""

from __future__ import annotations

from fctfast.data.class_names import checked_class_names


def test_names_are_used_only_if_there_are_enough_different_ones() -> None:
    assert checked_class_names(["cat", "dog", "eel"], 2) == ("cat", "dog", "eel")
    assert checked_class_names(["cat"], 2) == ("0", "1")
    assert checked_class_names(["cat", "cat"], 2) == ("0", "1")
    assert checked_class_names([], 3) == ("0", "1", "2")
