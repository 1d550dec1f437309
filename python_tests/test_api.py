"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fctfast


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_does_not_import_torch() -> None:
    run("import sys, fctfast; assert 'torch' not in sys.modules and 'numpy' not in sys.modules")


@pytest.mark.parametrize("name", [n for n in fctfast.__all__ if n != "__version__"])
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(fctfast, name))
    assert name in dir(fctfast)


def test_detect_is_a_function_and_a_room_whatever_was_imported_first() -> None:
    check = "assert callable(fctfast.detect) and fctfast.detect.Scores is fctfast.Scores"
    run(f"import fctfast; {check}")
    run(f"import fctfast.defend, fctfast; {check}")
    run(f"from fctfast import detect; import fctfast; detect.__call__; {check}")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fctfast.nonsense


def test_the_room_runs_the_audit() -> None:
    with pytest.raises(ValueError, match="mode: expected one of robust, published"):
        fctfast.detect("digits", mode="fast")
