"""What studies that go through a plan share: options, where data lies, rows and their checks."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fctfast import io
from fctfast.train.differences import differing_keys


def add_run_options(run: argparse.ArgumentParser, plans: Iterable[str]) -> None:
    """Options of every command that goes through a plan."""
    run.add_argument("--plan", choices=tuple(plans), required=True, help="which cases")
    add_source(run)
    run.add_argument("--work", type=Path, required=True, help="folder that a killed run goes on in")
    run.add_argument("--only", metavar="TEXT", help="cases whose name holds this")
    run.add_argument("--threads", type=int, help="default: torch's")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Where data lies that is not part of a library."""
    parser.add_argument(
        "--source", action="append", default=[], type=_pair, metavar="DATA=PATH",
        help="where the images of a plan lie, e.g. cifar10=cifar10.zip; may be repeated",
    )  # fmt: skip


def _pair(text: str) -> tuple[str, str]:
    data, equals, path = text.partition("=")
    if not data or not equals or not path:
        raise argparse.ArgumentTypeError(f"expected DATA=PATH, got {text!r}")
    return data, path


class Sources:
    """The paths of --source by name of the data, and what became of the cases of a plan."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.paths = {"digits": "digits", **dict(pairs)}
        self._met = self._missed = 0

    def finished(self) -> None:
        """A case has its result already."""
        self._met += 1

    def find(self, case: str, data: str) -> str | None:
        """Path of the data, or None after saying that the case is left out."""
        if data in self.paths:
            self._met += 1
            return self.paths[data]
        self._missed += 1
        print(f"{case}: left out, no --source {data}=PATH", file=sys.stderr)
        return None

    def exit_code(self) -> int:
        """2 where nothing was run and nothing was finished before, which it says if it did not."""
        if not self._met and not self._missed:
            print("no case of the plan has the text of --only in its name", file=sys.stderr)
        return 0 if self._met else 2


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """Results of a study, in the order of their names; ends the program where there are none."""
    rows = [io.read_json(path) for path in sorted(folder.glob("*.json"))]
    if not rows:
        raise SystemExit(f"{folder}: no results (*.json) here; the part `run` makes them")
    return rows


def check_settings(
    result: Path, now: dict[str, Any], sections: Sequence[str] | None = None
) -> None:
    """Refuse to take a row of other settings for the one that is asked for.

    Of settings with sections `sections` are those that matter; default: all.
    """
    both = io.read_json(result)["settings"], json.loads(json.dumps(now))
    if sections is not None:
        both = tuple({name: settings.get(name) for name in sections} for settings in both)
    differing = differing_keys(*both)
    if differing:
        raise SystemExit(f"{result} is of other settings: {'; '.join(differing)}; move it away")


def commit() -> str:
    """Version of this checkout, for the row."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own words)
    except FileNotFoundError:  # a lent machine may have no git
        return "unknown"
    return made.stdout.strip() or "unknown"
