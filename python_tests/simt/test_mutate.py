"""The parts of `csrc/simt/mutate.py` that need no compiler, and its list against the kernels."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fctfast.ops.plain import KERNELS as IN_PLAIN_TORCH

CSRC = Path(__file__).resolve().parents[2] / "csrc"


@pytest.fixture(scope="module")
def mutate(simt_tools: Callable[[str], ModuleType]) -> ModuleType:
    return simt_tools("mutate")


def mutation(mutate: Any, **change: str) -> Any:
    fields = {
        "name": "a", "kernel": "fct_views", "kind": "edge", "file": "affine.h", "old": "x < w",
        "new": "x <= w", "breaks": "one | two", "mode": "plain",
    }  # fmt: skip
    return mutate.Mutation(**{**fields, **change})


def test_every_mutation_fits_its_kernel(mutate: Any) -> None:
    for m in mutate.MUTATIONS:
        text = (CSRC / "kernels" / m.file).read_text()
        assert mutate.mutated(text, m) != text


def test_the_list_breaks_every_kernel_in_at_least_five_ways(mutate: Any) -> None:
    mutations, list_module = mutate.MUTATIONS, importlib.import_module("mutations")
    assert len({m.name for m in mutations}) == len(mutations)
    assert {m.kind for m in mutations} == set(list_module.KINDS)
    assert {m.mode for m in mutations} <= set(mutate.harness.MODES)
    plain = Counter(m.kernel for m in mutations if m.mode == "plain")
    assert set(plain) == set(list_module.KERNELS)
    assert min(plain.values()) >= 5


def test_every_op_has_its_twins(mutate: Any, simt_tools: Callable[[str], ModuleType]) -> None:
    """An op missing from one of these lists would be tested by its CPU kernel in its place."""
    served: Any = simt_tools("served_ops")
    assert set(served.OPS) == set(IN_PLAIN_TORCH)
    assert all(callable(getattr(served.Ops, name)) for name in served.OPS)
    broken = {mutate.KERNELS[name][0] for name in mutate.KERNELS}
    assert broken == {name.removesuffix("_backward") for name in served.OPS}


@pytest.mark.parametrize("text", ["y < w", "x < w and x < w"])
def test_a_text_that_does_not_stand_there_once_is_refused(mutate: Any, text: str) -> None:
    with pytest.raises(mutate.Unusable, match="the kernel has changed: update this mutation"):
        mutate.mutated(text, mutation(mutate))
    assert mutate.mutated("if x < w:", mutation(mutate)) == "if x <= w:"


RACE = "E   SUMMARY: ThreadSanitizer: data race /tmp/a/../gpu/reduce.h:31 in void f(int)\n"
BOUNDS = r"stderr='case 0\n/tmp/a/warp.h:3:9: runtime error: index 16 of \'float [16]\'\n  #0'"
FAILED = "FAILED python_tests/ops/test_x.py::test_y[simt-1] - assert 1 == 2\n"


@pytest.mark.parametrize(
    ("mode", "status", "output", "expected"),
    [
        ("plain", 0, "", None),
        ("plain", 1, FAILED, "test_y[simt-1] - assert 1 == 2"),
        ("plain", -11, "", "crash (SIGSEGV)"),
        ("plain", None, "", "hang (ended after 9 s)"),
        ("thread", 1, RACE + FAILED, "ThreadSanitizer: data race reduce.h:31 (test_y[simt-1])"),
        (
            "address",
            1,
            BOUNDS + "\n" + FAILED,
            "warp.h:3:9: runtime error: index 16 of 'float [16]' (test_y[simt-1])",
        ),
        ("thread", 1, FAILED, None),  # wrong numbers are not what the mode promises
    ],
)
def test_what_counts_as_noticed(
    mutate: Any, mode: str, status: int | None, output: str, expected: str | None
) -> None:
    assert mutate.noticed_by(mode, mutate.Ran(status, output, 9.0)) == expected


@pytest.mark.parametrize("status", [2, 3, 4, 5])  # interrupted, broken, misused, no tests
def test_tests_that_did_not_run_conclude_nothing(mutate: Any, status: int) -> None:
    with pytest.raises(mutate.Unusable, match=f"status {status}"):
        mutate.noticed_by("plain", mutate.Ran(status, "", 1.0))


def test_a_fixture_that_fails_concludes_nothing(mutate: Any) -> None:
    with pytest.raises(mutate.Unusable, match="no test failed"):
        mutate.noticed_by("plain", mutate.Ran(1, "ERROR a.py::test_y[1] - RuntimeError\n", 1.0))


def test_the_table_names_survivors_and_escapes_bars(mutate: Any) -> None:
    made = mutation(mutate)
    rows = mutate.table(
        [mutate.Outcome(made, "test_y", 1.0), mutate.Outcome(made, None, 1.0)]
    ).splitlines()
    assert rows[2] == "| a | fct_views | edge | one \\| two (`affine.h`) | `test_y` |"
    assert rows[3].endswith("| **nothing** |")


def test_the_list_can_be_printed_in_part(mutate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--list", "--only", "^warp-finish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("warp-finish") for line in lines)
