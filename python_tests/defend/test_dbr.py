"""Facts about D-BR as a whole: repeatable, starts from what is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fctfast import io
from fctfast.data import ImageSet, open_dataset
from fctfast.defend import DBR, DBRConfig, Repaired, dbr, given, parts
from fctfast.detect import Detection, PoisonRate
from fctfast.models import ModelInfo, load_model, save_model
from fctfast.train import predict


def weights(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x.cpu(), y.cpu()) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.fixture(scope="module")
def finished(
    small_set: ImageSet, config: DBRConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Repaired, Path]:
    out = tmp_path_factory.mktemp("dbr")
    return DBR(config).run(small_set, out=out, seed=2), out


def test_the_same_seed_gives_the_same_weights_without_a_folder_too(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    again = DBR(config).run(small_set, seed=2)
    assert same(again.model, finished[0].model)
    assert again.paths == {}


def test_what_is_written_loads_and_the_last_pass_is_kept(
    finished: tuple[Repaired, Path],
) -> None:
    repaired, out = finished
    model, info = load_model(out / "repaired.safetensors")
    assert same(model, repaired.model)
    assert info == repaired.info
    base, _ = load_model(out / "base.safetensors")
    assert not same(base, repaired.model)
    assert repaired.passes == 2
    assert [r["stage"] for r in repaired.history["removal"]] == ["repair"] * 2
    assert torch.equal(
        Detection.load(out / "detect").split.poisoned, repaired.detection.split.poisoned
    )


def test_a_checkpoint_and_a_detection_replace_their_stages(
    small_set: ImageSet,
    config: DBRConfig,
    finished: tuple[Repaired, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, out = finished
    monkeypatch.setattr(dbr, "train_base", None)
    monkeypatch.setattr(given, "detect", None)
    again = DBR(config).run(
        small_set, checkpoint=out / "base.safetensors", detection=out / "detect", seed=2
    )
    assert same(again.model, finished[0].model)
    assert again.history["base"] == []


def test_a_module_of_the_users_own_is_repaired(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))
    repaired = DBR(config).run(small_set, checkpoint=model, detection=finished[0].detection)
    assert repaired.info.arch == "custom"
    assert repaired.model is model


def test_a_checkpoint_keeps_its_own_normalisation(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    """The recipe's is another one: the model would be repaired on images it has never seen."""
    repaired, out = finished
    other = replace(config, detect=replace(config.detect, mean=(0.9,) * 3, std=(0.1,) * 3))
    again = DBR(other).run(
        small_set, checkpoint=out / "base.safetensors", detection=out / "detect", seed=2
    )
    assert (again.info.mean, again.info.std) == (repaired.info.mean, repaired.info.std)
    assert same(again.model, repaired.model)


def test_a_described_module_is_repaired_and_saved_as_described(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path], tmp_path: Path
) -> None:
    repaired, out = finished
    module, info = load_model(out / "base.safetensors")
    other = replace(config, detect=replace(config.detect, mean=(0.9,) * 3, std=(0.1,) * 3))
    again = DBR(other).run(
        small_set,
        checkpoint=module,
        info=info,
        detection=repaired.detection,
        out=tmp_path,
        seed=2,
    )
    saved, said = load_model(again.paths["repaired"])
    assert same(saved, repaired.model)
    assert said == info
    for checkpoint in (None, out / "base.safetensors"):
        with pytest.raises(ValueError, match="info describes a module"):
            DBR(config).run(small_set, checkpoint=checkpoint, info=info)


def changed(data: ImageSet, *, labels: bool) -> ImageSet:
    """The same ids with one other label, or one other pixel."""
    if labels:
        return data.with_images(labels=data.labels.roll(1))
    images = data.images.clone()
    images[0, 0, 0, 0] ^= 1
    return data.with_images(images)


def test_a_detection_of_other_data_is_refused_by_labels_and_fingerprint(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    """Ids are row numbers and tell nothing."""
    found = finished[0].detection
    bare = replace(found, settings={k: v for k, v in found.settings.items() if k != "data"})
    with pytest.raises(ValueError, match=r"the detection is of other data .*labels differ"):
        DBR(config).run(changed(small_set, labels=True), detection=bare)
    known = replace(found, settings={**found.settings, "data": small_set.fingerprint()})
    with pytest.raises(ValueError, match=r"the detection is of other data .*fingerprints"):
        DBR(config).run(changed(small_set, labels=False), detection=known)
    assert same(DBR(config).run(small_set, detection=known, seed=2).model, finished[0].model)


@pytest.mark.parametrize(("name", "part"), [("alpha_p", "D_p"), ("alpha_c", "D_c")])
def test_an_empty_part_is_refused_before_the_probe_is_trained(
    small_set: ImageSet,
    config: DBRConfig,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    part: str,
) -> None:
    monkeypatch.setattr(given, "detect", None)
    share: dict[str, Any] = {name: 0.0}
    none = replace(config, detect=replace(config.detect, **share))
    with pytest.raises(ValueError, match=f"{part} is empty with {name} 0"):
        DBR(none).run(small_set)


def test_where_auto_flags_nobody_the_papers_5_percent_are_unlearnt(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path], tmp_path: Path
) -> None:
    found = finished[0].detection
    assert found.rate is None
    assert not finished[0].paper_share
    nobody = found.resplit(alpha_c="auto", alpha_p="auto")
    assert not len(nobody.split.poisoned)
    repaired = DBR(config).run(small_set, detection=nobody, out=tmp_path, seed=2)
    assert repaired.paper_share
    assert (repaired.detection.split.alpha_c, repaired.detection.split.alpha_p) == (0.2, 0.05)
    assert io.read_json(tmp_path / "repair.json")["paper_share"]
    # What such a run leaves behind says so again.
    again, said = given.with_paper_share(repaired.detection)
    assert said
    assert again.split.summary() == repaired.detection.split.summary()
    with pytest.raises(ValueError, match="D_p is empty; choose an alpha above 0"):  # asked for
        DBR(config).run(small_set, detection=found.resplit(alpha_p=0.0))
    # With evidence nobody is added: not to D_p, nor to a D_c that nobody looked clean enough for.
    sure = replace(nobody, rate=PoisonRate(0.1, 0.1, 0.1), auto=(0.0, 0.1)).resplit()
    with pytest.raises(ValueError, match=r"D_c is empty.* nobody looks clean enough"):
        DBR(config).run(small_set, detection=sure)


def test_parts_of_an_audit_that_flagged_nobody_are_d_c_alone(
    small_set: ImageSet, finished: tuple[Repaired, Path]
) -> None:
    split = finished[0].detection.resplit(alpha_p=0.0).split
    known, poisoned = parts(small_set, split)
    assert torch.equal(known.ids, split.clean.sort().values)
    assert not poisoned.any()
    with pytest.raises(ValueError, match="ids of its D_c are not in"):
        parts(small_set.subset(small_set.ids[:20]), split)


def test_published_mode_runs_the_published_rounds(
    small_set: ImageSet,
    config: DBRConfig,
    finished: tuple[Repaired, Path],
    tmp_path: Path,
) -> None:
    given: dict[str, Any] = {
        "checkpoint": finished[1] / "base.safetensors",
        "detection": finished[0].detection,
    }
    robust = DBR(config).run(small_set, **given)
    assert robust.passes == 2
    assert [r["stage"] for r in robust.history["removal"]] == ["repair"] * 2
    published = DBR(replace(config, mode="published")).run(small_set, out=tmp_path, **given)
    assert published.passes == 20
    assert [r["stage"] for r in published.history["removal"]] == ["unlearn", "relearn"] * 20
    wrote, split = io.read_json(tmp_path / "repair.json"), published.detection.split
    assert wrote["settings"]["removal"]["method"] == "alternate"
    assert (wrote["passes"], wrote["kept"]) == (20, published.kept)
    for name, ids in (("dp_kept", split.poisoned), ("dc_kept", split.clean)):
        part = small_set.subset(ids)
        norm = {"mean": published.info.mean, "std": published.info.std}
        right = predict(published.model, part.images, **norm) == part.labels
        assert published.kept[name] == pytest.approx(float(right.double().mean()))
    with pytest.raises(ValueError, match="mode: expected one of robust, published"):
        DBRConfig(mode="publish")


def test_a_recipe_says_what_is_read_of_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in detect(recipe=...); images that are open already stay as they are."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data: {limit: 70, image_size: 12}")
    config = DBRConfig.from_recipe(recipe)
    seen: list[ImageSet] = []

    def watch(images: ImageSet, **_: Any) -> None:
        seen.append(images)
        raise InterruptedError

    monkeypatch.setattr(given, "detect", watch)
    opened = open_dataset("digits", limit=90, image_size=16)
    for data in ("digits", opened):
        with pytest.raises(InterruptedError):
            DBR(config).run(data)
    assert (len(seen[0]), seen[0].image_size) == (70, (12, 12))
    assert seen[1] is opened


def test_a_checkpoint_says_at_which_size_a_path_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = ModelInfo("resnet18", num_classes=10, width=4, image_size=(16, 16))
    save_model(tmp_path / "m.safetensors", info.build(), info)
    seen: list[ImageSet] = []

    def watch(images: ImageSet, **_: Any) -> None:
        seen.append(images)
        raise InterruptedError

    monkeypatch.setattr(given, "detect", watch)
    with pytest.raises(InterruptedError):
        DBR(DBRConfig(limit=70, image_size=12)).run("digits", checkpoint=tmp_path / "m.safetensors")
    assert seen[0].image_size == (16, 16)


def test_what_does_not_fit_is_refused(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path], tmp_path: Path
) -> None:
    repaired, _ = finished
    with pytest.raises(ValueError, match="of other data"):
        DBR(config).run(small_set.select(torch.arange(60)), detection=repaired.detection)
    other = ImageSet(
        ids=small_set.ids,
        images=small_set.images,
        labels=small_set.labels,
        class_names=("a", "b", "c", "d"),
    )
    save_model(tmp_path / "m.safetensors", repaired.model, repaired.info)
    with pytest.raises(ValueError, match="3 classes"):
        DBR(config).run(other, checkpoint=tmp_path / "m.safetensors")
    with pytest.raises(FileNotFoundError):
        DBR(config).run(small_set, checkpoint=tmp_path / "none.safetensors")
