"""An ImageSet passes through, and the options apply to it."""

from __future__ import annotations

from dataclasses import replace

from fctfast.data import Quarantined, no_progress, open_dataset


def test_everything_it_knows_stays() -> None:
    digits = open_dataset("digits", limit=20, progress=no_progress)
    paths = tuple(f"p{number}" for number in digits.ids.tolist())
    source = replace(digits, paths=paths, quarantined=(Quarantined(5000, None, 1, "bad"),))
    same = open_dataset(source, progress=no_progress)
    assert same.fingerprint() == source.fingerprint()
    assert same.paths == paths
    assert same.quarantined == source.quarantined
    assert same.class_names == source.class_names
    drawn = open_dataset(source, limit=5, image_size=16, progress=no_progress)
    assert drawn.images.shape == (5, 16, 16, 3)
    assert drawn.paths == tuple(f"p{number}" for number in drawn.ids.tolist())
