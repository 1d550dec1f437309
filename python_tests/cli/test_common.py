from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fctfast.cli import common


def run(error: BaseException, *arguments: str, out: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that raises."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @common.guarded
    def fail(out: common.Out = out, debug: common.Debug = False) -> None:
        raise error

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    "error",
    [
        ValueError("alpha_c: too large"),
        TypeError("alpha_c: too large"),
        FileNotFoundError("alpha_c: too large"),
        ModuleNotFoundError("alpha_c: too large"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(error: Exception) -> None:
    assert run(error) == (2, "", "error: alpha_c: too large\n")


def test_a_defect_names_its_type_and_the_way_to_see_more() -> None:
    code, _, stderr = run(KeyError("x"))
    assert code == 2
    assert stderr == "error: KeyError: 'x' (--debug shows where)\n"


def test_debug_shows_the_traceback() -> None:
    code, _, stderr = run(ValueError("no"), "--debug")
    assert code == 2
    assert "Traceback (most recent call last)" in stderr
    assert stderr.endswith("error: no\n")


def test_ctrl_c_exits_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    code, _, stderr = run(KeyboardInterrupt(), out=tmp_path)
    assert (code, stderr) == (130, "interrupted. Run the same command again.\n")
    (tmp_path / "run.json").touch()
    code, _, stderr = run(KeyboardInterrupt(), out=tmp_path)
    assert code == 130
    assert f"is kept in {tmp_path}; run the same command again to go on" in stderr


def test_exit_codes_pass_through() -> None:
    assert run(typer.Exit(1))[0] == 1


def test_json_goes_to_stdout_and_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    common.emit({"b": 1, "a": None}, ["text"], as_json=True)
    assert capsys.readouterr().out == '{\n  "a": null,\n  "b": 1\n}\n'
    common.emit({}, ["one", "two"], as_json=False)
    assert capsys.readouterr().out == "one\ntwo\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        common.emit({"a": float("nan")}, [], as_json=True)


def test_a_class_is_given_by_name_or_number() -> None:
    names = ("cat", "7", "owl")
    read: Callable[[str], int] = lambda text: common.class_number(text, names)  # noqa: E731
    assert (read("owl"), read("0"), read("7")) == (2, 0, 1)
    for wrong in ("3", "-1", "dog", ""):
        with pytest.raises(ValueError, match=r"--target: expected a class name or a number in 0"):
            read(wrong)


def test_tables_line_up_and_leave_unknowns_out() -> None:
    assert common.table({"a": 1, "long": None, "bcd": "x"}) == ["  a    1", "  bcd  x"]
    assert common.percent(0.98765) == "98.8 %"
    assert common.percent(None) is None
