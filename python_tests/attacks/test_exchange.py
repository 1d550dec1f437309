from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from fctfast import attacks
from fctfast.attacks.exchange import FOLDER, TABLE, export_png, import_png
from fctfast.data import ImageSet

Make = Callable[..., ImageSet]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["badnets-all2one", "badnets-all2all", "sig"])
def test_what_was_exported_comes_back(
    name: str, channels: int, make_set: Make, tmp_path: Path
) -> None:
    clean = make_set(100, classes=5, channels=channels)
    made = attacks.poison(clean, attacks.get(name), rate=0.2, target=2)
    table = export_png(made, tmp_path)
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == int(made.poisoned_mask.sum())
    assert all((tmp_path / row["path"]).is_file() for row in rows)
    assert rows[0]["path"] == f"{FOLDER}/{rows[0]['true_label']}/{rows[0]['id']}.png"
    back = import_png(clean, tmp_path)
    assert torch.equal(back.image_set.images, made.image_set.images)
    assert torch.equal(back.image_set.labels, made.image_set.labels)
    assert torch.equal(back.poisoned_mask, made.poisoned_mask)
    assert back.recipe["fingerprint"] == made.recipe["fingerprint"]
    with pytest.raises(ValueError, match="were imported, so the trigger for test images is not"):
        attacks.recipe_attack(back.recipe)
    assert back.recipe["kind"] == made.recipe["kind"]
    assert back.recipe["kind"] == "all2all" or back.recipe["target"] == 2
    with pytest.raises(FileExistsError, match="is there already"):
        export_png(made, tmp_path)
    table.unlink()
    with pytest.raises(FileExistsError, match="is there already"):
        export_png(made, tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("badnets-all2one", "all2one"), ("sig", "clean-label")])
def test_without_a_table_labels_follow_from_the_kind(
    name: str, kind: attacks.Kind, make_set: Make, tmp_path: Path
) -> None:
    clean = make_set(100, classes=5)
    made = attacks.poison(clean, attacks.get(name), rate=0.2, target=2)
    export_png(made, tmp_path)
    (tmp_path / TABLE).unlink()
    back = import_png(clean, tmp_path, kind=kind, target=2)
    assert torch.equal(back.image_set.labels, made.image_set.labels)


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("clean-label", 3, "clean-label attack on class 3 has that class alone .* of class 2:"),
        ("all2one", 2, "all2one attack on class 2 has other classes as well .* of class 2:"),
    ],
)
def test_without_a_table_samples_that_the_attack_does_not_take_are_refused(
    kind: attacks.Kind, target: int, message: str, make_set: Make, tmp_path: Path
) -> None:
    clean = make_set(100, classes=5)
    export_png(attacks.poison(clean, attacks.get("sig"), rate=0.2, target=2), tmp_path)
    (tmp_path / TABLE).unlink()
    with pytest.raises(ValueError, match=message):
        import_png(clean, tmp_path, kind=kind, target=target)
    assert import_png(clean, tmp_path, kind="all2all", target=4).recipe["kind"] == "all2all"


@pytest.mark.parametrize(
    ("labels", "words", "message"),
    [
        ((0, 0, 0, 0), "all2one,99", "does not fit the files: target 99 is no class"),
        ((0, 0, 0, 0), "all2one,-1", "does not fit the files: target -1 is no class"),
        ((0, 1, 3, 0), "all2one,0", "no attack of that kind and target class"),
        ((2, 2, 2, 2), "clean-label,2", "no attack of that kind and target class"),
        ((2, 2, 2, 2), "all2one,3", "no attack of that kind and target class"),
    ],
)
def test_a_table_whose_labels_are_not_its_attacks_is_refused(
    labels: tuple[int, ...], words: str, message: str, make_set: Make, tmp_path: Path
) -> None:
    clean = make_set(40, classes=4)  # the samples 5, 8, 11 and 14 are of classes 0 to 3
    lines = ["id,path,label,true_label,kind,target"]
    for true, label in enumerate(labels):
        number = int(clean.ids[true])
        place = tmp_path / FOLDER / str(true) / f"{number}.png"
        place.parent.mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(place)
        lines.append(f"{number},{FOLDER}/{true}/{number}.png,{label},{true},{words}")
    (tmp_path / TABLE).write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=message):
        import_png(clean, tmp_path)


def test_files_that_do_not_fit_are_refused(make_set: Make, tmp_path: Path) -> None:
    clean, how = make_set(20, classes=4), {"kind": "all2one", "target": 1}
    with pytest.raises(FileNotFoundError, match=r"LABEL/ID\.png, found none"):
        import_png(clean, tmp_path)
    number, label = int(clean.ids[3]), int(clean.labels[3])
    place = tmp_path / FOLDER / str(label) / f"{number}.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"name both \(--attack, --target\)"):
        import_png(clean, tmp_path)
    with pytest.raises(ValueError, match="cannot be decoded: not a JPEG, PNG"):
        import_png(clean, tmp_path, **how)
    Image.new("RGB", (8, 9)).save(place)
    with pytest.raises(ValueError, match="pictures of 32 x 32 as in random, got 9 x 8"):
        import_png(clean, tmp_path, **how)
    again = place.with_name(f"0{number}.png")
    again.write_bytes(place.read_bytes())
    with pytest.raises(ValueError, match="are of the same sample; keep one"):
        import_png(clean, tmp_path, **how)
    again.unlink()
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ValueError, match="cannot be decoded: not a regular file"):
        import_png(clean, tmp_path, **how)
    place.unlink()
    Image.new("RGB", (32, 32)).save(place)
    for rows, problem in (
        ("1,2,1", f"id {number} is not in it"),
        (f"{number},2,{label}\n1,2,1", "id 1 has no picture"),
        (f"{number},2,{label}\n{number},1,{label}", "an id is in it twice"),
        (f"{number},4,{label}", "label 4 is no class"),
        (f"{number},2,{label + 1}", f"id {number} has true_label {label + 1}, but label {label}"),
    ):
        (tmp_path / TABLE).write_text(f"id,label,true_label\n{rows}\n")
        with pytest.raises(ValueError, match=f"does not fit the files: {problem}"):
            import_png(clean, tmp_path)
    (tmp_path / TABLE).write_text(f"id,label,true_label\n{number},2,{label}\n")
    assert import_png(clean, tmp_path).recipe["target"] == 2
    for other in (how, {"kind": "clean-label"}):
        with pytest.raises(ValueError, match="no attack of that kind and target class: name"):
            import_png(clean, tmp_path, **other)
    (tmp_path / TABLE).write_text("number\n1\n")
    with pytest.raises(ValueError, match="is no table of id, path, label, true_label"):
        import_png(clean, tmp_path)
    place.rename(place.with_name("1.png"))
    with pytest.raises(ValueError, match="id 1 is not in random"):
        import_png(clean, tmp_path)
    place.with_name("1.png").rename(place.with_name("one.png"))
    with pytest.raises(ValueError, match="whole numbers"):
        import_png(clean, tmp_path)


def test_a_file_in_another_labels_folder_is_refused(make_set: Make, tmp_path: Path) -> None:
    clean = make_set(20, classes=4)
    place = tmp_path / FOLDER / "3" / f"{int(clean.ids[0])}.png"
    place.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(place)
    with pytest.raises(ValueError, match="lies in the folder of label 3, but sample 5 of random"):
        import_png(clean, tmp_path)


def test_a_table_says_which_of_two_attacks_it_is_of(make_set: Make, tmp_path: Path) -> None:
    clean = make_set(40, classes=2)
    made = attacks.poison(clean, attacks.get("badnets-all2all"), rate=0.025)
    table = export_png(made, tmp_path)
    assert import_png(clean, tmp_path).recipe["kind"] == "all2all"
    rows = [line.rsplit(",", 2)[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")  # without kind and target, one sample fits two
    with pytest.raises(ValueError, match="several kinds of attack: name the attack"):
        import_png(clean, tmp_path)
    assert import_png(clean, tmp_path, kind="all2all").recipe["kind"] == "all2all"
    table.write_text(table.read_text().replace("true_label", "true_label,kind") + ",sound")
    with pytest.raises(ValueError, match="is no table of"):
        import_png(clean, tmp_path)


def test_ids_of_any_size_and_colours_in_a_grey_set_are_refused(
    make_set: Make, tmp_path: Path
) -> None:
    clean, how = make_set(20, classes=4, channels=1), {"kind": "all2one", "target": 1}
    folder = tmp_path / FOLDER / str(int(clean.labels[3]))
    folder.mkdir(parents=True)
    large = folder / "99999999999999999999.png"
    Image.new("RGB", (32, 32), (0, 200, 0)).save(large)
    with pytest.raises(ValueError, match="id 99999999999999999999 is not in random"):
        import_png(clean, tmp_path, **how)
    large.rename(folder / f"{int(clean.ids[3])}.png")
    with pytest.raises(ValueError, match=r"random is grey, but .* is in colour"):
        import_png(clean, tmp_path, **how)
