"""Map-style datasets: PIL or uint8 in, everything else told, random augmentation caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from fctfast.data import no_progress, open_dataset
from fctfast.data.sources import map_style

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)


class Items:
    """A dataset of given items; an exception among them is raised."""

    def __init__(self, items: list[Any], **attributes: Any) -> None:
        self.items = items
        self.fetches = [0] * len(items)
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        self.fetches[number] += 1
        item = self.items[number]
        if isinstance(item, Exception):
            raise item
        return item(self.fetches[number]) if callable(item) else item


def opened(source: Any, **options: Any) -> Any:
    return open_dataset(source, progress=no_progress, **options)


@pytest.mark.parametrize(
    "form",
    [
        Image.fromarray,
        np.asarray,
        torch.from_numpy,  # [H, W, C], where only that can be meant
        lambda pixels: torch.from_numpy(pixels.transpose(2, 0, 1).copy()),
        lambda pixels: v2.functional.pil_to_tensor(Image.fromarray(pixels)),
    ],
)
def test_every_form_of_an_image_is_the_same_image(form: Callable[[Any], Any]) -> None:
    made = opened(Items([(form(pixels), number % 3) for number, pixels in enumerate(PIXELS)]))
    np.testing.assert_array_equal(made.images.numpy(), PIXELS)
    assert made.ids.tolist() == list(range(6))
    assert made.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert made.class_names == ("0", "1", "2")


@pytest.mark.parametrize("form", [Image.fromarray, np.asarray, torch.from_numpy])
def test_grey_images_have_one_channel(form: Callable[[Any], Any]) -> None:
    grey = np.ascontiguousarray(PIXELS[..., 0])
    made = opened([(form(pixels), np.int64(number % 2)) for number, pixels in enumerate(grey)])
    np.testing.assert_array_equal(made.images[..., 0].numpy(), grey)


def test_torch_datasets_are_read() -> None:
    images = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())
    source = TensorDataset(images, torch.arange(6) % 2)
    made = opened(Subset(source, [5, 1, 0]))
    np.testing.assert_array_equal(made.images.numpy(), PIXELS[[5, 1, 0]])
    assert made.ids.tolist() == [0, 1, 2]


def test_an_image_folder_has_the_samples_of_the_folder(class_folder: Callable[..., Path]) -> None:
    root = class_folder({"cat": 4, "dog": 3})
    ours = opened(root)
    theirs = opened(ImageFolder(str(root)))
    assert theirs.fingerprint() == ours.fingerprint()
    assert theirs.class_names == ours.class_names
    assert theirs.paths is not None
    assert theirs.paths[5] == str(root / "dog" / "001.png")
    (root / "cat" / "002.png").write_bytes(b"broken")
    hurt = opened(Subset(ImageFolder(str(root)), range(1, 7)))
    (row,) = hurt.quarantined
    assert (row.id, row.label) == (1, 0)
    assert row.path == str(root / "cat" / "002.png")
    assert row.error.startswith("the dataset raised UnidentifiedImageError")
    assert hurt.ids.tolist() == [0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("transform", "named"),
    [
        (v2.ToTensor, "remove ToTensor from"),
        (
            lambda: v2.Compose([v2.ToTensor(), v2.Normalize([0.5] * 3, [0.5] * 3)]),
            "remove ToTensor and Normalize from",
        ),
        (
            lambda: torch.nn.Sequential(v2.PILToTensor(), v2.ConvertImageDtype(torch.float32)),
            "remove ConvertImageDtype from",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The transform `ToTensor")
def test_floats_name_the_transform_to_remove(
    class_folder: Callable[..., Path], transform: Callable[[], Any], named: str
) -> None:
    folder = ImageFolder(str(class_folder({"a": 1, "b": 1})), transform=transform())
    for source in (folder, Subset(folder, [1])):
        with pytest.raises(TypeError, match=f"float32 tensor .*{named} the dataset's transform"):
            opened(source)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ((PIXELS[0] / 255, 0), TypeError, r"float64 array \[5, 4, 3\]: .*before scaling"),
        ((torch.zeros(3, 4, 4), 0), TypeError, r"torch\.float32 tensor \[3, 4, 4\]: .*before"),
        (({"image": 1}, 0), TypeError, "expected a PIL image or uint8 pixels, got dict"),
        ({"image": 1, "label": 2}, TypeError, r"\(image, label\), got a dict with image, label"),
        (PIXELS[0], TypeError, r"expected \(image, label\), got a uint8 array \[5, 4, 3\]"),
        ((PIXELS[0],), TypeError, r"expected \(image, label\), got tuple"),
        ((PIXELS[0], 0.5), TypeError, r"expected an integer label, got 0\.5"),
        ((PIXELS[0], "cat"), TypeError, "expected an integer label, got 'cat'"),
        ((PIXELS[0], -1), ValueError, "item 1 has the negative label -1"),
        ((PIXELS[:, :, :, 0], 0), ValueError, r"1 or 3 channels, got \[6, 5, 4\]"),
        ((PIXELS[0, :3], 0), ValueError, r"item 0 is \[5, 4, 3\], item 1 is \[3, 4, 3\]; bring"),
        ((PIXELS[0, ..., 0], 0), ValueError, r"item 1 is \[5, 4, 1\].*convert\('RGB'\)"),
    ],
)
def test_wrong_items_are_told(item: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        opened(Items([(PIXELS[0], 1), item]))


def test_images_of_several_sizes_are_brought_to_one() -> None:
    items = [
        (PIXELS[0], 0),
        (PIXELS[0, :3], 1),
        (Image.new("RGB", (40, 50)), 0),
        (torch.from_numpy(PIXELS[0].transpose(2, 0, 1).copy()), 0),
    ]
    made = opened(Items(items), image_size=(5, 4))
    assert made.images.shape == (4, 5, 4, 3)
    np.testing.assert_array_equal(made.images[0].numpy(), PIXELS[0])
    grey = opened(Items([(PIXELS[0, ..., 0], 0), (PIXELS[1, ..., 0], 1)]), image_size=8)
    assert grey.images.shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    "changing",
    [
        lambda fetch: (PIXELS[fetch % 2], 0),
        lambda fetch: (PIXELS[0], fetch % 2),
        lambda fetch: (PIXELS[0, : 4 + fetch % 2], 0),
    ],
)
def test_an_item_that_changes_is_refused(changing: Any) -> None:
    items = [*((PIXELS[0], number % 2) for number in range(30)), changing]
    with pytest.raises(ValueError, match=r"item 30 .* differs on a second fetch.*transform=None"):
        opened(Items(items))


def test_a_large_set_is_checked_in_part_and_caught_all_the_same() -> None:
    generator = np.random.default_rng(0)
    still = Items([(PIXELS[0], number % 2) for number in range(2500)])
    opened(still)
    assert sorted(set(still.fetches)) == [1, 2]
    assert still.fetches.count(2) == map_style._CHECK_SOME
    flipping = Items([lambda _: (PIXELS[0, :, :: generator.choice([1, -1])].copy(), 0)] * 2500)
    with pytest.raises(ValueError, match="differs on a second fetch"):
        opened(flipping)


def test_items_that_raise_are_quarantined() -> None:
    items = [(PIXELS[0], 0), OSError("torn\nfile"), (PIXELS[1], 1), KeyError("x")]
    made = opened(Items(items, targets=[0, 4, 1, None], classes=["a", "b"]))
    assert made.ids.tolist() == [0, 2]
    told = [(row.id, row.path, row.label, row.error) for row in made.quarantined]
    assert told == [
        (1, None, 4, "the dataset raised OSError: torn file"),
        (3, None, -1, "the dataset raised KeyError: 'x'"),
    ]
    assert made.class_names == ("0", "1", "2", "3", "4")  # two names are too few for label 4
    with pytest.raises(ValueError, match="none of 2 items could be fetched; item 0: the dataset"):
        opened(Items([OSError("a"), OSError("b")]))


def test_names_and_draws() -> None:
    items = [(PIXELS[number % 6], number % 2) for number in range(50)]
    made = opened(Items(items, classes=("cat", "dog", "unused")), limit=20, seed=1)
    assert made.class_names == ("cat", "dog", "unused")
    assert len(made) == 20
    for position, row in enumerate(made.ids.tolist()):
        np.testing.assert_array_equal(made.images[position].numpy(), PIXELS[row % 6])
        assert int(made.labels[position]) == row % 2


def test_what_is_no_dataset_is_told() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([])

    for source in (5, None, {"a": 1}, object(), Stream()):
        with pytest.raises(TypeError, match=r"expected a name, a path or a dataset of \(image, la"):
            opened(source)
    with pytest.raises(ValueError, match="list: the dataset is empty"):
        opened([])
