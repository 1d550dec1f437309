"""Every attack against the audit and D-BR, at a tiny size, and the bars of the table."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from torch import Tensor

from fctfast import attacks, io
from fctfast.attacks import Attack, Form, Kind
from fctfast.data import ImageSet
from fctfast.defend import BaseSettings, DBRConfig, RemovalSettings, parts, remove_backdoor
from fctfast.defend.removal import kept_shares
from fctfast.detect import Detection, DetectSettings, FctSettings, ProbeSettings
from fctfast.report import evaluate
from fctfast.train import Budget, FitSettings, Progress, SGDSettings
from fctfast.train.recipes import ModelSettings

FIT = FitSettings(batch_size=25, sgd=SGDSettings(lr=0.05))
NETWORK = ModelSettings(name="plain8", width=4)
NONE = "digits-none-s1-n200-robust-t3"


@dataclass(frozen=True)
class Needy(Attack):
    """A white corner, as white as its network says: also the test trigger needs it."""

    name: ClassVar[str] = "needy"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "patch"
    summary: ClassVar[str] = "for this test"
    source: ClassVar[str] = "none"
    needs_model: ClassVar[bool] = True
    white: int | None = None

    def prepared(
        self, clean: ImageSet, *, target: int, seed: int, progress: Progress | None = None
    ) -> Needy:
        """Learn how white."""
        return replace(self, white=255)

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Write it."""
        if self.white is None:
            raise ValueError("not prepared")
        images = images.clone()
        images[:, :3, :3] = self.white
        return images


@pytest.fixture(scope="module")
def bench(scripts: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The scripts with three attacks on 200 digits."""
    with (
        scripts(["attacks_table", "attacks_layout"]) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        table = made.attacks_table
        config = DBRConfig(
            detect=DetectSettings(
                probe=ProbeSettings(network=NETWORK, learn=Budget(8), spread=Budget(0), fit=FIT),
                score=FctSettings(draws=2, over_draws="geometric"), snapshots=1,
            ),
            base=BaseSettings(network=NETWORK, budget=Budget(3), fit=FIT),
            removal=RemovalSettings(fit=replace(FIT, sgd=SGDSettings(lr=0.01))),
        )  # fmt: skip
        patch.setenv("FCTFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(table.DBRConfig, "from_recipe", lambda _: config)
        get = attacks.get
        patch.setattr(attacks, "names", lambda: ["badnets-all2one", "needy", "sig"])
        patch.setattr(attacks, "get", lambda name: Needy() if name == "needy" else get(name))
        cases = [replace(c, limit=200) for c in table.every_attack("digits", 1, 3)]
        patch.setattr(table, "PLANS", {"judged": cases})
        yield made


@dataclass(frozen=True)
class Finished:
    """A plan that has run: its folders, the command, and its rows by name of their file."""

    work: Path
    out: Path
    run: list[str]

    def rows(self) -> dict[str, Any]:
        """As they are now."""
        return {path.stem: io.read_json(path) for path in self.out.glob("*.json")}


@pytest.fixture(scope="module")
def finished(bench: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """SIG's base models at every rate first, as several processes would, then the whole plan."""
    folder = tmp_path_factory.mktemp("table")
    run = [
        "run", "--plan", "judged", "--work", str(folder / "w"), "--out", str(folder / "o"),
        "--test-images", "60",
    ]  # fmt: skip
    made = Finished(folder / "w", folder / "o", run)
    assert bench.attacks_table.main([*run, "--only-base", "--only", "sig"]) == 0
    assert sorted(made.rows()) == [
        f"digits-sig-{rate}pc-t3-s1-n200-robust" for rate in (100, 10, 20, 30, 50, 80)
    ]
    assert not any("audit" in row for row in made.rows().values())
    assert bench.attacks_table.main(run) == 0
    return made


def test_every_attack_becomes_a_row(bench: SimpleNamespace, finished: Finished) -> None:
    rows = finished.rows()
    sig = [row for name, row in rows.items() if "sig" in name]
    assert sorted(name for name, row in rows.items() if row not in sig) == [
        "digits-badnets-all2one-10pc-t3-s1-n200-robust", "digits-needy-10pc-t3-s1-n200-robust", NONE
    ]  # fmt: skip
    # One of SIG's rates goes on: the smallest that reaches the bar, or the most successful one.
    (repaired,) = (row for row in sig if "repair" in row)
    assert repaired == bench.attacks_layout.chosen(sig)
    clean = rows[NONE]["clean"]
    assert set(clean) == {"badnets-all2one", "needy", "sig"}
    assert len({seen["acc"] for seen in clean.values()}) == 1


def test_a_row_is_what_detect_and_dbr_themselves_come_to(
    bench: SimpleNamespace, finished: Finished
) -> None:
    table = bench.attacks_table
    (case,) = (c for c in table.PLANS["judged"] if c.attack == "badnets-all2one")
    row, attack = finished.rows()[case.name], attacks.get(case.attack)
    made = table.Bench(case, "digits", finished.work, 60)
    poisoned = attacks.poison(made.clean, attack, rate=0.1, target=3, seed=1)
    model = made.base_model(poisoned.image_set)
    assert made.measure(model, attack) == row["base"]
    rounds = row["repair"]["curve"]
    assert row["base"].items() <= rounds[0].items()
    found = Detection.load(finished.work / case.name / "audit")
    split = found.scores.split(row["repair"]["alpha_c"], row["repair"]["alpha_p"])
    remove_backdoor(
        model, *parts(poisoned.image_set, split), made.config.removal, mean=made.mean,
        std=made.std, seed=1,
    )  # fmt: skip
    assert len(rounds) == 1 + made.config.removal.budget.epochs
    kept = kept_shares(model, *parts(poisoned.image_set, split), mean=made.mean, std=made.std)
    assert kept.items() <= rounds[-1].items()
    after = evaluate(model, made.test, attack, 3, mean=made.mean, std=made.std)
    assert after.items() <= rounds[-1].items()
    # 20 samples a class are too few to test: "auto" flags nobody, and the paper's share is taken.
    assert row["audit"]["auto"]["d_p_poisoned"] is None
    assert row["repair"]["paper_share"]
    truth = poisoned.poisoned_mask[poisoned.image_set.positions(split.poisoned)]
    assert row["audit"]["paper"]["d_p_poisoned"] == float(truth.double().mean())
    assert row["poisoned"] == int((made.clean.labels != 3).sum()) // 10


def test_rows_become_a_table(
    bench: SimpleNamespace, finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.attacks_table.main(["table", "--out", str(finished.out)]) == 0
    printed = capsys.readouterr().out
    assert "## digits, 200 images, seed 1, target 3" in printed
    assert "(10 % of samples outside the target class) | " in printed
    assert "| mean of 3 |" in printed
    assert printed.count("| sig |") == 1 + 6
    assert "D-BR took the paper's 5 %" in printed


def test_a_finished_plan_needs_no_source(
    bench: SimpleNamespace,
    finished: Finished,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    table = bench.attacks_table

    def nowhere(pairs: Any) -> Any:
        made = sources(pairs)
        made.paths.clear()
        return made

    sources = table.Sources
    monkeypatch.setattr(table, "Sources", nowhere)
    assert table.main(finished.run) == 0
    elsewhere = ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    assert table.main([*finished.run, *elsewhere]) == 2
    said = capsys.readouterr().err
    assert said.count("left out, no --source digits=PATH") == 4  # the clean case and three attacks
    assert not (tmp_path / "o").exists()


def test_done_is_done_and_other_settings_are_refused(
    bench: SimpleNamespace, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished.rows()
    monkeypatch.setattr(bench.attacks_table.Bench, "attacked", None)
    # An attack that is new to a row is measured on the clean network all the same.
    fewer = {name: seen for name, seen in before[NONE]["clean"].items() if name != "sig"}
    io.write_json(finished.out / f"{NONE}.json", {**before[NONE], "clean": fewer})
    assert bench.attacks_table.main(finished.run) == 0
    assert finished.rows()[NONE]["clean"] == before[NONE]["clean"]
    # A base model does not depend on how D-BR is done.
    base = {key: value for key, value in before[NONE].items() if key != "repair"}
    settings = {**base["settings"], "removal": {"rounds": 20}}
    io.write_json(finished.out / f"{NONE}.json", {**base, "settings": settings})
    assert bench.attacks_table.main([*finished.run, "--only", "none"]) == 0
    other = {**settings, "base": {**settings["base"], "budget": {"epochs": 7}}}
    io.write_json(finished.out / f"{NONE}.json", {**base, "settings": other})
    with pytest.raises(SystemExit, match=r"other settings: base.budget.epochs \(7 there"):
        bench.attacks_table.main([*finished.run, "--only", "none"])
    name = "digits-needy-10pc-t3-s1-n200-robust"
    changed = {**before[name], "settings": {**before[name]["settings"], "mode": "published"}}
    io.write_json(finished.out / f"{name}.json", changed)
    with pytest.raises(SystemExit, match=r"other settings: mode \(published there, robust now\)"):
        bench.attacks_table.main([*finished.run, "--only", "needy"])


def a_row(**base: float) -> dict[str, Any]:
    return {
        "kind": "all2one",
        "case": {"rate": 0.1},
        "base": {"acc": 0.80, "asr": 0.85, **base},
        "repair": {"curve": [{}, {"acc": 0.78, "asr": 0.05}]},
    }


def test_bars(bench: SimpleNamespace) -> None:
    missed = bench.attacks_layout.missed
    clean = {"acc": 0.83, "asr": 0.01}
    assert list(missed(a_row(), clean)) == []  # each bar exactly met
    assert list(missed(a_row(asr=0.8499), clean)) == ["base ASR 85.0 < 85.0"]
    assert list(missed(a_row(acc=0.79), clean)) == ["base ACC 79.0 < 80.0"]
    row = a_row()
    row["repair"]["curve"].append({"acc": 0.77, "asr": 0.06})
    after = ["ASR after D-BR 6.0 > 5.0", "ACC after D-BR 77.0 < 78.0"]
    assert list(missed(row, clean)) == after
    # A trigger that fools the clean network, too, may go on doing so.
    assert list(missed(row, {**clean, "asr": 0.04})) == after[1:]
    # All-to-all cannot succeed more often than the network is right.
    every = a_row(asr=0.72) | {"kind": "all2all"}
    assert list(missed(every, clean)) == []
    every = a_row(asr=0.71) | {"kind": "all2all"}
    assert list(missed(every, clean)) == ["base ASR 71.0 < 72.0"]
    del row["repair"]
    assert list(missed(row, None)) == ["no clean model yet", "not repaired yet"]


def test_a_missed_bar_is_shown_and_the_smallest_rate_that_reaches_it(
    bench: SimpleNamespace,
) -> None:
    layout = bench.attacks_layout
    split = {"alpha_c": 0.2, "alpha_p": 0.05, "d_p_poisoned": 0.98, "d_c_clean": 1.0}
    whole = a_row(acc=0.80, asr=0.9) | {
        "samples": 20_000, "poisoned": 1000, "rate_of": "samples of the target class",
        "seconds": {"base": 61.2}, "commit": "abc", "versions": {"torch": "2", "gpu": "none"},
        "audit": {
            "verdict": {"evidence": "yes", "suspected_target": 3, "suspected_classes": [3]},
            "auroc": 0.99, "paper": split,
            "auto": {**split, "alpha_p": 0.0425},
        },
    }  # fmt: skip
    whole["repair"] |= {"paper_share": False}
    whole["case"] = {"data": "cifar10", "attack": "sig", "rate": 0.5, "seed": 10, "target": 3}
    weak = copy.deepcopy(whole)
    weak["case"]["rate"], weak["base"]["asr"] = 0.3, 0.8499
    strong = copy.deepcopy(whole)
    strong["case"]["rate"] = 0.8
    clean = {**copy.deepcopy(whole), "clean": {"sig": {"acc": 0.83, "asr": 0.01}}}
    clean["case"]["attack"] = "none"
    assert layout.chosen([strong, whole, weak]) is whole
    assert layout.chosen([weak]) is weak
    printed = "\n".join(layout.lay_out([strong, weak, clean, whole]))
    assert (
        "| sig | 1,000 (50 % of samples of the target class) | 83.0 / 1.0 | 80.0 / 90.0 | "
        "78.0 / 5.0 | 1 | yes (3) | 0.9900 | 0.980 of 5 %; 0.980 of 4.25 % | "
        "1.000 of 20 %; 1.000 of 20 % | -, 61, -, - | hold |"
    ) in printed
    assert "| sig | 30 % | 1,000 | 80.0 / 85.0 | no |" in printed
    assert "Commit abc, torch 2, GPU none." in printed
    whole["repair"]["curve"][-1]["asr"] = 0.3
    printed = "\n".join(layout.lay_out([strong, weak, clean, whole]))
    assert "| MISSED: ASR after D-BR 30.0 > 5.0 |" in printed
