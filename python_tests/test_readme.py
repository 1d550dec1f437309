"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import fctfast
from fctfast.cli.app import app

RECIPES = Path(fctfast.__file__).parent / "recipes"
README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
COMMANDS = re.findall(r"^fctfast (\w+) (.*?)(?:\s+#.*)?$", README.read_text(), re.MULTILINE)


def test_the_readme_has_its_blocks_and_commands() -> None:
    assert len(BLOCKS) == 3
    assert {name for name, _ in COMMANDS} == {"detect", "dbr", "dst", "score"}


def with_small_budgets(block: str, folder: Path) -> str:
    """The block with the digits' recipe cut down: minutes otherwise."""
    recipe = yaml.safe_load((RECIPES / "digits.yaml").read_text())
    recipe["model"]["width"] = 4
    recipe["split"]["draws"] = 2
    recipe["base"]["budget"] = {"epochs": 1}
    recipe["br"]["budget"] = {"epochs": 1}
    small = folder / "small.yaml"
    small.write_text(yaml.safe_dump(recipe))
    for call in ("recipe=", "from_recipe("):
        assert f'{call}"digits"' in block
        block = block.replace(f'{call}"digits"', f"{call}{str(small)!r}")
    return block


@pytest.mark.parametrize("block", BLOCKS, ids=["method", "ops", "contrastive"])
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    if "digits" in block:
        block = with_small_budgets(block, tmp_path)
    done = subprocess.run(
        [sys.executable, "-"],
        input=block,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_use_options_that_exist(name: str, arguments: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    for option in re.findall(r"--[a-z-]+", arguments):
        assert option in shown, f"fctfast {name} has no {option}"
