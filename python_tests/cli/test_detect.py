from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fctfast
from fctfast import io
from fctfast.attacks.truth import read_truth, write_truth
from fctfast.detect import Detection, Verdict, audit
from fctfast.models import load_model
from fctfast.train import Recipe

Invoke = Callable[..., Any]


def files_of(folder: Path) -> dict[str, bytes]:
    """Results of a run by name; run.json holds times and so is left out."""
    names = ("scores.parquet", "detection.json", "metrics.json", "suspicious.csv", "histogram.png")
    return {name: (folder / name).read_bytes() for name in names}


def test_a_run_folder_holds_what_was_promised(audited: tuple[Path, Path]) -> None:
    _, run = audited
    there = {path.name for path in run.iterdir()}
    assert {
        "run.json",
        "scores.parquet",
        "detection.json",
        "probe.safetensors",
        "metrics.json",
        "histogram.png",
        "suspicious.csv",
        "suspicious.png",
    } <= there
    record = io.read_json(run / "run.json")
    assert (record["command"], record["status"], record["seed"]) == ("detect", "done", 0)
    assert record["settings"]["config"]["score"]["draws"] == 2
    found = Detection.load(run)
    scored = io.read_json(run / "metrics.json")["scored"]
    assert scored["step"] == found.settings["step"]
    assert scored["transform"] in ("rotate+affine", "flip+crop")
    assert len(found.split.poisoned) == 15
    assert len(found.split.clean) == 60


@pytest.mark.parametrize("truth", ["absent", "lying"])
def test_the_truth_changes_nothing(
    invoke: Invoke, audited: tuple[Path, Path], tiny: Path, tmp_path: Path, truth: str
) -> None:
    """Byte for byte, with the truth removed or turned round; and so a seed repeats itself."""
    data, first = audited
    right = read_truth(data)
    (data / "truth.parquet").unlink()
    try:
        if truth == "lying":
            write_truth(data, right.ids, ~right.poisoned, right.true_labels.flip(0))
        command = ("detect", "--data-dir", data, "--recipe", tiny, "--quiet")
        result = invoke(*command, "--out", tmp_path / "run")
    finally:
        write_truth(data, right.ids, right.poisoned, right.true_labels)
    assert result.exit_code == 0, result.stderr
    assert files_of(tmp_path / "run") == files_of(first)


def test_detect_and_defend_never_import_attacks_or_report() -> None:
    """The truth is read by fctfast.attacks.truth alone: these rooms must not know it."""
    root = Path(fctfast.__file__).parent
    files = [*root.glob("detect/**/*.py"), *root.glob("defend/**/*.py"), *root.glob("data/**/*.py")]
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
            for name in names:
                assert not name.startswith(("fctfast.attacks", "fctfast.report")), file
        assert "truth.parquet" not in file.read_text(encoding="utf-8"), file


def test_evaluate_and_report_read_the_truth(
    invoke: Invoke, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = audited
    measured = invoke("evaluate", "--detection", run, "--poisoned", data, "--json")
    assert measured.exit_code == 0, measured.stderr
    quality = json.loads(measured.stdout)["detection"]
    assert (quality["samples"], quality["poisoned_samples"]) == (300, 27)
    shown = invoke("report", run, "--poisoned", data, "--out", tmp_path, "--json")
    assert shown.exit_code == 0, shown.stderr
    answer = json.loads(shown.stdout)
    assert answer["quality"] == quality
    assert answer == json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "histogram.png").stat().st_size > 1000
    text = invoke("report", run).stdout
    assert "evidence of poisoning" in text
    assert "suspicious.csv" in text
    assert "AUROC" not in text


@pytest.mark.parametrize(("evidence", "code"), [("yes", 1), ("unclear", 1), ("no", 0)])
def test_fail_on_suspicious(
    invoke: Invoke,
    audited: tuple[Path, Path],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    evidence: str,
    code: int,
) -> None:
    data, run = audited
    shutil.copytree(run, tmp_path / "run")  # resumed: only the verdict is computed again
    judged: Callable[..., Verdict] = audit.judge

    def fixed(*arguments: Any, **options: Any) -> Verdict:
        return replace(judged(*arguments, **options), evidence=evidence)

    monkeypatch.setattr(audit, "judge", fixed)
    command = ("detect", "--data-dir", data, "--recipe", tiny, "--out", tmp_path / "run", "-q")
    assert invoke(*command, "--fail-on-suspicious").exit_code == code
    assert invoke(*command).exit_code == 0


@pytest.mark.parametrize("command", ["detect", "dbr", "dst"])
def test_published_mode_cannot_fail_on_suspicious(
    invoke: Invoke, audited: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    done = invoke(
        command, "--data-dir", audited[0], "--mode", "published", "--fail-on-suspicious",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "an audit of --mode published gives no verdict" in done.stderr
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_same_folder_is_refused(
    invoke: Invoke, audited: tuple[Path, Path], tiny: Path
) -> None:
    data, run = audited
    before = files_of(run)
    command = ("detect", "--data-dir", data, "--recipe", tiny, "--out", run, "--quiet")
    for change in (("--seed", 1), ("--alpha-p", 0.1), ("--draws", 3), ("--mode", "published")):
        result = invoke(*command, *change)
        assert result.exit_code == 2
        assert "holds a run with other settings" in result.stderr
        assert change[0].strip("-").replace("-", "_") in result.stderr
    assert files_of(run) == before


def test_progress_goes_to_stderr(
    invoke: Invoke, audited: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    data, run = audited
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "probe-state.safetensors").unlink()
    for path in (tmp_path / "run").glob("snapshot-*"):
        path.unlink()
    result = invoke("detect", "--data-dir", data, "--recipe", tiny, "--out", tmp_path / "run")
    assert result.exit_code == 0
    assert "probe: 40/40" in result.stderr
    assert "probe: 40/40" not in result.stdout
    assert result.stdout.startswith("Audit of ")


def image_folder(root: Path, classes: int, each: int) -> Path:
    """A folder of class folders with grey PNG files."""
    from PIL import Image

    for number in range(classes):
        (root / f"class-{number}").mkdir(parents=True)
        for i in range(each):
            pixels = torch.full((16, 16, 3), 10 * number + i, dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(root / f"class-{number}" / f"{i:03d}.png")
    return root


def photos(root: Path, *sizes: tuple[int, int]) -> Path:
    """Two classes of 24 noisy photos, one dark and one bright; the (height, width) take turns."""
    from PIL import Image

    noise = torch.Generator().manual_seed(0)
    for number in range(2):
        (root / f"class-{number}").mkdir(parents=True)
        for i in range(24):
            low, size = 120 * number, (*sizes[i % len(sizes)], 3)
            pixels = torch.randint(low, low + 100, size, generator=noise, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(root / f"class-{number}" / f"{i:03d}.png")
    return root


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (20, 28)])
def test_without_a_recipe_images_are_audited_at_their_own_size(
    invoke: Invoke, tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At another size a small trigger would vanish; the answer says which size it was."""
    whole = fctfast.train.load_recipe

    def brief(name: str) -> Recipe:
        recipe = whole(name)  # its hundreds of steps would be minutes here
        probe = {**recipe.raw["probe"], "learn": {"epochs": 2}, "spread": {"epochs": 1}}
        return replace(recipe, raw={**recipe.raw, "probe": probe})

    monkeypatch.setattr(fctfast.train, "load_recipe", brief)
    data, out = photos(tmp_path / "photos", size), tmp_path / "run"
    command = ("detect", "--data-dir", data, "--device", "cpu", "--width", 2, "--draws", 1, "-q")
    result = invoke(*command, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert f"48 scored at {size[0]}x{size[1]}, 0 unreadable" in result.stdout
    assert io.read_json(out / "metrics.json")["image_size"] == list(size)
    probe = out / "probe.safetensors"
    assert load_model(probe)[1].image_size == size
    command = ("score", "--data-dir", data, "--checkpoint", probe, "--draws", 1, "-q")
    scored = invoke(*command, "--out", tmp_path / "scored", "--json")
    assert scored.exit_code == 0, scored.stderr
    assert json.loads(scored.stdout)["settings"]["image_size"] == list(size)


def test_photos_of_many_sizes_need_one_to_be_named(invoke: Invoke, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", (28, 28), (40, 28))
    result = invoke("detect", "--data-dir", data, "--out", tmp_path / "run", "-q")
    assert result.exit_code == 2
    assert "images differ in size" in result.stderr
    assert "--image-size" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-dir", "no/such"), "no such data set"),
        (("--data-dir", "EMPTY"), "EMPTY"),
        (("--data-dir", "ONE"), "one class"),
        (("--data-dir", "FEW", "--alpha-p", "0.05"), "less than one sample"),
        (("--alpha-c", "0.9", "--alpha-p", "0.2"), "must not exceed 1"),
        (("--alpha-p", "1.5"), "alpha_p in [0, 1]"),
        (("--mode", "fast"), "robust, published"),
        (("--recipe", "soup"), "unknown recipe 'soup'"),
        (("--recipe", "none.yaml"), "none.yaml"),
        (("--model", "resnet"), "unknown model 'resnet'"),
        (("--device", "tpu7"), "device"),
        (("--alpha-p", "most"), "--alpha-p: expected a share such as 0.05, or auto, got 'most'"),
    ],
)
def test_mistakes_exit_2_with_one_line_and_no_run(
    invoke: Invoke,
    poisoned: Path,
    tiny: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "EMPTY").mkdir()
    image_folder(tmp_path / "ONE", 1, 3)
    image_folder(tmp_path / "FEW", 2, 4)
    given = [str(tmp_path / a) if a in ("EMPTY", "ONE", "FEW") else a for a in arguments]
    usual = ("detect", "--data-dir", poisoned, "--recipe", tiny, "--quiet", "--limit", 50)
    result = invoke(*usual, "--out", tmp_path / "run", *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""


def test_a_recipe_with_an_unknown_key_is_refused(
    invoke: Invoke, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(tiny.read_text().replace("draws: 2", "drawz: 2"))
    result = invoke("detect", "--data-dir", poisoned, "--recipe", wrong, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "unknown key drawz" in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_transformation_is_a_setting_like_any_other(
    invoke: Invoke, audited: tuple[Path, Path], tiny: Path, tmp_path: Path
) -> None:
    data, first = audited
    command = ("detect", "--data-dir", data, "--recipe", tiny, "--quiet")
    blurred = invoke(*command, "--transform", "blur+flip", "--out", tmp_path / "run")
    assert blurred.exit_code == 0, blurred.stderr
    settings = io.read_json(tmp_path / "run" / "run.json")["settings"]["config"]
    assert settings["transforms"] == ["blur+flip"]
    assert files_of(tmp_path / "run")["scores.parquet"] != files_of(first)["scores.parquet"]
    for run, used in ((tmp_path / "run", ["blur+flip"]), (first, ["rotate+affine", "flip+crop"])):
        found = io.read_json(run / "detection.json")
        assert {s["transform"] for s in found["snapshots"]} == set(used)
        assert found["settings"]["score"]["transform"] in used
    wrong = invoke(*command, "--transform", "blur+spin", "--out", tmp_path / "wrong")
    assert wrong.exit_code == 2
    assert "two of them as a+b (a first), got 'blur+spin'" in wrong.stderr
    assert not (tmp_path / "wrong").exists()
