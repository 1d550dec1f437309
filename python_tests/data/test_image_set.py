"""An ImageSet holds what it promises, and ids go where their samples go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctfast.data import ImageSet, Quarantined


def make(count: int = 5, **changes: Any) -> ImageSet:
    images = torch.arange(count * 12, dtype=torch.int64).remainder(256).to(torch.uint8)
    arguments: dict[str, Any] = {
        "ids": torch.arange(count) * 10 + 7,
        "images": images.reshape(count, 2, 2, 3),
        "labels": torch.arange(count) % 2,
        "class_names": ("cat", "dog"),
        "paths": tuple(f"p{number}" for number in range(count)),
        "name": "made",
    }
    return ImageSet(**{**arguments, **changes})


def test_it_is_a_map_style_dataset() -> None:
    made = make()
    image, label = made[3]
    assert len(made) == 5
    assert image.shape == (2, 2, 3)
    assert image.dtype == torch.uint8
    assert label == 1
    assert made.num_classes == 2
    assert made.image_size == (2, 2)
    assert made.channels == 3
    assert len(list(iter(made))) == 5  # ends with IndexError, as the protocol wants


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ids": [1, 2]}, TypeError, "expected ids to be a tensor, got list"),
        ({"ids": torch.zeros(5)}, TypeError, r"ids as torch\.int64, got torch\.float32"),
        ({"images": torch.zeros(5, 2, 2, 3)}, TypeError, r"images as torch\.uint8"),
        ({"images": torch.zeros(5, 2, 2, dtype=torch.uint8)}, ValueError, r"\[N, H, W, C\]"),
        (
            {"images": torch.zeros(5, 3, 2, 2, dtype=torch.uint8)},
            ValueError,
            r"1 or 3 channels, got \[5, 3, 2, 2\] \(NCHW images\? use",
        ),
        ({"images": torch.zeros(5, 0, 2, 3, dtype=torch.uint8)}, ValueError, "without pixels"),
        ({"labels": torch.tensor([0, 1, 2, 0, 0])}, ValueError, r"0\.\.1 .* got 0\.\.2"),
        ({"labels": torch.tensor([0, -1, 0, 0, 0])}, ValueError, r"got -1\.\.0"),
        ({"labels": torch.tensor([0])}, ValueError, "5 images but 1 labels"),
        ({"ids": torch.arange(4)}, ValueError, "5 images but 4 ids"),
        ({"paths": ("a",)}, ValueError, "5 images but 1 paths"),
        ({"ids": torch.tensor([1, 2, 3, 4, 1])}, ValueError, "id 1 occurs more than once"),
        ({"ids": torch.tensor([1, 2, 3, 4, -1])}, ValueError, "must not be negative, got -1"),
        (
            {"quarantined": (Quarantined(7, None, 0, "bad"),)},
            ValueError,
            "id 7 occurs more than once",
        ),
        ({"class_names": ()}, ValueError, "at least one class name"),
        ({"class_names": ("a", "a")}, ValueError, "class name occurs twice"),
    ],
)
def test_what_does_not_fit_is_refused(changes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)


def test_an_empty_set_is_a_set() -> None:
    empty = make(0)
    assert len(empty) == 0
    assert len(empty.subset([])) == 0
    assert len(empty.fingerprint()) == 64
    with pytest.raises(ValueError, match="1 of 1 ids are not in"):
        empty.subset([3])


@given(st.data())
def test_a_subset_keeps_ids_with_their_samples(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, 2**62), unique=True, max_size=20))
    labels = [data.draw(st.integers(0, 1)) for _ in ids]
    made = make(
        len(ids),
        ids=torch.tensor(ids, dtype=torch.int64),
        labels=torch.tensor(labels, dtype=torch.int64),
    )
    wanted = data.draw(st.permutations(ids)) if ids else []
    wanted = wanted[: data.draw(st.integers(0, len(ids)))]
    part = made.subset(wanted)
    assert part.ids.tolist() == wanted
    for position, wanted_id in enumerate(wanted):
        origin = ids.index(wanted_id)
        assert torch.equal(part.images[position], made.images[origin])
        assert int(part.labels[position]) == labels[origin]
        assert part.paths is not None
        assert part.paths[position] == f"p{origin}"


def test_select_takes_masks_and_positions_and_refuses_repeats() -> None:
    made = make()
    assert made.select(torch.tensor([True, False, False, True, False])).ids.tolist() == [7, 37]
    assert made.select([4, 0]).ids.tolist() == [47, 7]
    with pytest.raises(ValueError, match=r"expected a mask \[5\], got \[2\]"):
        made.select(torch.tensor([True, False]))
    with pytest.raises(ValueError, match="id 7 occurs more than once"):
        made.select([0, 0])
    with pytest.raises(IndexError):
        made.select([5])
    with pytest.raises(ValueError, match=r"1 of 2 ids are not in .* the first is 8"):
        made.subset(torch.tensor([7, 8]))


def test_other_pixels_leave_identity_alone() -> None:
    bad = (Quarantined(3, "x", 0, "empty"),)
    made = make(quarantined=bad)
    changed = made.with_images(255 - made.images, 1 - made.labels)
    assert torch.equal(changed.ids, made.ids)
    assert changed.quarantined == bad
    assert changed.paths == made.paths
    assert torch.equal(made.labels, torch.arange(5) % 2)
    assert torch.equal(changed.labels, 1 - made.labels)
    with pytest.raises(ValueError, match="5 ids"):
        made.with_images(made.images[:2])


def test_the_fingerprint_changes_with_ids_pixels_and_labels_alone() -> None:
    made = make()
    pixels, labels, ids = made.images.clone(), made.labels.clone(), made.ids.clone()
    pixels[4, 1, 1, 2] ^= 1
    labels[0] = 1
    ids[0] = 1
    changed = [
        make(images=pixels),
        make(labels=labels),
        make(ids=ids),
        make().select([1, 0, 2, 3, 4]),
    ]
    prints = {other.fingerprint() for other in [made, *changed]}
    assert len(prints) == 5
    strided = made.images.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)
    assert make(images=strided, name="other", paths=None).fingerprint() == made.fingerprint()


def test_repr_tells_size_and_damage() -> None:
    made = make(quarantined=(Quarantined(1, None, -1, "bad"),))
    assert repr(made) == "ImageSet('made': 5 images 2x2x3, 2 classes, 1 quarantined)"
