from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fctfast import io
from fctfast.attacks.truth import read_truth

Invoke = Callable[..., Any]


def test_writes_set_recipe_and_truth(invoke: Invoke, tmp_path: Path) -> None:
    out = tmp_path / "p"
    result = invoke(
        *("poison", "--data-dir", "digits", "--limit", 300, "--out", out, "--target", 3),
        *("--rate", 0.2, "--seed", 5, "--json"),
    )
    assert result.exit_code == 0
    recipe = json.loads(result.stdout)
    assert recipe == json.loads((out / "recipe.json").read_text())
    assert recipe["sha256"] == io.sha256_file(out / "train.npz")
    truth = read_truth(out)
    assert int(truth.poisoned.sum()) == recipe["poisoned"]
    with np.load(out / "train.npz", allow_pickle=False) as file:
        assert len(file["labels"]) == 300
        assert bool((file["labels"][truth.poisoned.numpy()] == 3).all())


def test_text_says_what_to_do_next(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("poison", "--data-dir", "digits", "--limit", 100, "--out", tmp_path / "p")
    assert f"Next: fctfast detect --data-dir {tmp_path / 'p'}" in result.stdout


def test_the_same_seed_gives_the_same_bytes(invoke: Invoke, tmp_path: Path) -> None:
    for name in ("a", "b"):
        invoke("poison", "--data-dir", "digits", "--limit", 100, "--out", tmp_path / name)
    for file in ("train.npz", "recipe.json", "truth.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_options_reach_the_attack(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ("poison", "--data-dir", "digits", "--limit", 100, "--attack", "blend-signal")
    result = invoke(*arguments, "--option", "ratio=0.5", "--out", tmp_path / "p", "--json")
    assert json.loads(result.stdout)["options"] == {"ratio": 0.5}


@pytest.mark.parametrize("given", ["set.npz", "./digits", "pack.zip/inner"])
def test_the_recipe_names_its_source_for_every_folder(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for number in range(40):
        folder = Path("digits") / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    with zipfile.ZipFile("pack.zip", "w") as pack:
        for file in sorted(Path("digits").rglob("*.png")):
            pack.write(file, Path("inner", *file.parts[1:]))
    np.savez(
        "set.npz",
        images=np.zeros((40, 8, 8, 3), dtype=np.uint8),
        labels=np.arange(40, dtype=np.int64) % 2,
    )
    result = invoke("poison", "--data-dir", given, "--out", "p", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["source"] == str((tmp_path / given).resolve())
    named = invoke("poison", "--data-dir", "digits", "--limit", 50, "--out", "q", "--json", "-q")
    assert json.loads(named.stdout)["source"] == "digits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-dir", "no/such/place"), "no such data set"),
        (("--attack", "badnet"), "expected one of badnets-all2all, badnets-all2one"),
        (("--rate", "0"), "expected rate in (0, 1]"),
        (("--target", "owl"), "expected a class name or a number in 0..9"),
        (("--option", "ratio"), "expected KEY=VALUE, got 'ratio'"),
        (("--option", "colour=1"), "unknown option colour"),
        (("--split", "all"), "expected 'train', 'test' or 'val'"),
        (
            ("--attack", "cl", "--option", "model=none.safetensors"),
            "no such file: none.safetensors",
        ),
    ],
)
def test_mistakes_exit_2_with_one_line(
    invoke: Invoke, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "p"
    usual = ("poison", "--data-dir", "digits", "--limit", 50, "--out", out)
    result = invoke(*usual, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""
    assert not (out / "recipe.json").exists()


def test_an_empty_folder_is_an_error(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = invoke("poison", "--data-dir", tmp_path / "empty", "--out", tmp_path / "p")
    assert result.exit_code == 2


def test_a_set_is_not_overwritten(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ("poison", "--data-dir", "digits", "--limit", 50, "--out", tmp_path)
    assert invoke(*arguments).exit_code == 0
    second = invoke(*arguments)
    assert second.exit_code == 2
    assert "already holds a poisoned set" in second.stderr


def test_attacks_are_listed_with_their_traits(invoke: Invoke) -> None:
    result = invoke("attacks")
    assert result.exit_code == 0
    assert "blend, visible, clean label, sample-agnostic" in result.stdout
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert {
        "--option amplitude=40.0", "--option test_amplitude=60.0", "--option patch=[...]",
        "--option bits=...  (optional)",
    } <= set(lines)  # fmt: skip
    listed = json.loads(invoke("attacks", "--json").stdout)["attacks"]
    assert listed["trojan"]["form"] == "patch"
    assert [name for name in listed if listed[name]["test_needs_model"]] == ["ssba"]
    assert set(listed) >= {"badnets-all2all", "blend-kitty", "sig"}


def test_preview_draws_what_changed(invoke: Invoke, tmp_path: Path) -> None:
    picture = tmp_path / "look.png"
    result = invoke(
        "poison", "--data-dir", "digits", "--limit", 50, "--preview", picture,
        "--out", tmp_path / "p",
    )  # fmt: skip
    assert result.exit_code == 0
    assert str(picture) in result.stdout
    sheet = np.asarray(Image.open(picture))
    assert sheet.shape == (2 * 30 + 4 * 170, 10 + 3 * 170, 3)
    row, difference = sheet[60 : 60 + 160], slice(350, 510)
    assert (row[:100, difference] == 128).all()  # nothing above the corner
    assert (row[-10:, 500:510] > 128).any()


def test_png_files_come_back_as_a_set(invoke: Invoke, tmp_path: Path) -> None:
    usual = ("poison", "--data-dir", "digits", "--limit", 50)
    first = invoke(*usual, "--png", "--out", tmp_path / "p", "--json")
    assert first.exit_code == 0
    made = json.loads(first.stdout)
    assert len(list((tmp_path / "p").glob("bd_train_dataset/*/*.png"))) == made["poisoned"]
    second = invoke(*usual, "--from-png", tmp_path / "p", "--out", tmp_path / "q", "--json")
    assert second.exit_code == 0
    assert json.loads(second.stdout)["fingerprint"] == made["fingerprint"]
    empty = invoke(*usual, "--from-png", tmp_path, "--out", tmp_path / "r")
    assert empty.exit_code == 2
    assert "LABEL/ID.png, found none" in empty.stderr


def test_a_picture_of_the_users_is_blended_in(invoke: Invoke, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (20, 20), (255, 0, 0)).save(picture)
    how = ("--data-dir", "digits", "--limit", 50, "--trigger-image", picture)
    result = invoke("poison", *how, "--attack", "blend-kitty", "--json", "--out", tmp_path / "p")
    assert result.exit_code == 0
    options = json.loads(result.stdout)["options"]
    assert options["image"] == str(picture.resolve())
    assert len(options["sha256"]) == 64
    refused = invoke("poison", *how, "--attack", "sig", "--out", tmp_path / "q")
    assert refused.exit_code == 2
    assert "--trigger-image: sig blends no picture in" in refused.stderr
    both = ("--attack", "blend-kitty", "--option", f"image={picture}", "--out", tmp_path / "q")
    assert "give one of them" in invoke("poison", *how, *both).stderr
    assert not (tmp_path / "q").exists()


def test_what_was_interrupted_is_made_again_by_the_same_command(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fctfast import attacks

    out = tmp_path / "p"
    usual = ("poison", "--data-dir", "digits", "--limit", 50, "--png", "--out", out)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attacks, "save_poisoned", interrupted)
        first = invoke(*usual, "--preview", out / "look.png")
    assert first.exit_code == 130
    assert "Run the same command again." in first.stderr
    assert list(tmp_path.iterdir()) == []
    assert invoke(*usual, "--preview", out / "look.png").exit_code == 0
    assert {path.name for path in out.iterdir()} == {
        "bd_train_dataset", "bd_train_dataset.csv", "look.png", "recipe.json", "train.npz",
        "truth.parquet",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_nothing_of_the_users_is_written_over(invoke: Invoke, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for number in range(40):
        folder = photos / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    before = {path: path.read_bytes() for path in photos.rglob("*.png")}
    (tmp_path / "alias").symlink_to(photos)
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    out = tmp_path / "p"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for given, message in (
        (("--out", photos), "--out: "),
        (("--out", photos / "new"), "lies in the data"),
        (("--out", ""), "is the current folder"),
        (("--out", "/"), "not empty; choose a new folder"),
        (("--out", tmp_path / "alias" / "new"), "lies in the data"),
        (("--out", photos / "none" / ".." / "new"), "lies in the data"),
        (("--out", out, "--preview", tmp_path / "mine.png"), "mine.png is there already"),
        (("--out", tmp_path / "full"), "not empty; choose a new folder"),
        (("--out", tmp_path / "full" / "mine.txt" / "p"), "mine.txt is a file"),
        (("--out", out, "--preview", photos / "0" / "0.png"), "lies in the data"),
        (("--out", out, "--preview", out / "recipe.json"), "ends in .png"),
        (("--out", out, "--preview", tmp_path / "full" / "mine.txt" / "a.png"), "is a file"),
    ):
        result = invoke("poison", "--data-dir", photos, *given)
        assert result.exit_code == 2, given
        assert message in result.stderr
    assert {path: path.read_bytes() for path in photos.rglob("*.png")} == before
    assert not out.exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_pictures_without_a_table_need_the_attacks_name_and_target(
    invoke: Invoke, tmp_path: Path
) -> None:
    usual = ("poison", "--data-dir", "digits", "--limit", 100)
    made = ("--attack", "sig", "--target", 4, "--rate", 0.5)
    first = invoke(*usual, *made, "--png", "--out", tmp_path / "p", "--json")
    folder, out = tmp_path / "p", tmp_path / "q"
    (folder / "bd_train_dataset.csv").unlink()
    imported = (*usual, "--from-png", folder, "--out", out)
    unnamed = invoke(*imported)
    assert unnamed.exit_code == 2
    assert "name both (--attack, --target)" in unnamed.stderr
    for option, value in (("--rate", 0.1), ("--option", "amplitude=3")):
        refused = invoke(*imported, *made[:4], option, value)
        assert refused.exit_code == 2
        assert f"{option}: --from-png takes pictures that are made" in refused.stderr
    again = invoke(*imported, *made[:4], "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["fingerprint"] == json.loads(first.stdout)["fingerprint"]


def test_a_preview_replaces_one_of_before_and_may_lie_in_the_set(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = ("poison", "--data-dir", "digits", "--limit", 50, "--preview")
    for name in ("digits", "b"):  # a folder may have the name of a set
        assert invoke(*usual, "look.png", "--out", name).exit_code == 0
    inside = tmp_path / "sub" / ".." / "c" / "look.png"
    (tmp_path / "sub").mkdir()
    assert invoke(*usual, inside, "--out", "c").exit_code == 0
    assert (tmp_path / "c" / "look.png").is_file()


def test_the_target_is_what_was_said(invoke: Invoke, tmp_path: Path) -> None:
    usual = ("poison", "--data-dir", "digits", "--limit", 50, "--out", tmp_path / "p")
    assert invoke(*usual, "--target", "").exit_code == 2
    assert not (tmp_path / "p").exists()
    made = invoke(*usual, "--attack", "badnets-all2all")
    assert "each class's next one" in made.stdout
    assert "(0.1 of all samples)" in made.stdout
