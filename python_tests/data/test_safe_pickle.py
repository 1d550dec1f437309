"""Pickles are taken apart; nothing in them runs."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fctfast.data.safe_pickle import UnsafePickleError, array_of, read_plain_pickle


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(plain, st.integers(0, 5))
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read_plain_pickle(pickle.dumps(value, protocol), "x") == value


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", ">i4", "<f8", "bool"])
def test_arrays_come_back(protocol: int, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for given_array in (array, np.asfortranarray(array), array[:0]):
        read = read_plain_pickle(pickle.dumps({"data": given_array}, protocol), "x")
        np.testing.assert_array_equal(array_of(read["data"], "x"), given_array)
        assert array_of(read["data"], "x").dtype == given_array.dtype


def test_values_met_twice_are_the_same_value() -> None:
    shared = [1, 2]
    first, second = read_plain_pickle(pickle.dumps([shared, shared]), "x")
    assert first is second


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_refused_and_not_made(tmp_path: Path, protocol: int) -> None:
    import os

    marker = tmp_path / "ran"
    data = pickle.dumps({"data": Calls(os.mkdir, str(marker))}, protocol)
    with pytest.raises(UnsafePickleError, match=r"it names \w+\.mkdir.*nothing in it was run"):
        read_plain_pickle(data, "batch")
    assert not marker.exists()
    pickle.loads(data)  # noqa: S301 (the test's own: it proves that the pickle would have run)
    assert marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02U\x04evilQ.",  # BINPERSID
        b"Pevil\n.",  # PERSID
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",  # STACK_GLOBAL
        b"cnumpy\nndarray\n(S'x'\ntR.",  # an allowed name, called as the format never does
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\ndtype\n(S'O'\ntR.",  # an array of objects
        b"cnumpy\ndtype\n(S'u1, O'\ntR.",
        b"c__builtin__\nbytes\n(J\xff\xff\xff\x7ftR.",  # two gigabytes of zeros
        b"]S'x'\nb.",  # BUILD on a list
        b"S'x'\nS'y'\na.",  # APPEND to text
        b"\x80\x05\x97.",  # NEXT_BUFFER
    ],
)
def test_what_is_not_on_the_list_is_refused(data: bytes) -> None:
    with pytest.raises(UnsafePickleError, match="x: "):
        read_plain_pickle(data, "x")


def test_other_types_are_refused() -> None:
    for value in (OrderedDict(a=1), {1, 2}, np.array([None]), np.dtype("u1,O"), complex(1)):
        with pytest.raises(UnsafePickleError, match="refused"):
            read_plain_pickle(pickle.dumps(value, 2), "x")


def test_a_tuple_nested_a_million_deep_is_no_key() -> None:
    # Its hash would recurse in C and end the process.
    data = b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s."
    with pytest.raises(UnsafePickleError):
        read_plain_pickle(data, "x")


def test_a_million_marks_take_no_quadratic_time() -> None:
    with pytest.raises(UnsafePickleError):
        read_plain_pickle(b"]" * 100_000 + b"(t0" * 300_000, "x")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_gives_one_kind_of_error(data: st.DataObject) -> None:
    whole = bytearray(pickle.dumps({"data": np.zeros((2, 3), np.uint8), "labels": [1, 2]}, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    with suppress(UnsafePickleError):
        read_plain_pickle(bytes(whole), "x")


@given(st.binary(max_size=200))
def test_noise_gives_one_kind_of_error(data: bytes) -> None:
    with suppress(UnsafePickleError):
        read_plain_pickle(data, "x")


def test_an_array_larger_than_its_bytes_is_damage() -> None:
    good = pickle.dumps(np.zeros(4, np.uint8), 2)
    bad = good.replace(b"K\x04\x85", b"K\x05\x85")
    assert bad != good
    with pytest.raises(UnsafePickleError, match="damaged"):
        read_plain_pickle(bad, "x")
    huge = good.replace(b"K\x04\x85", b"J" + struct.pack("<i", 2**31 - 1) + b"\x85")
    with pytest.raises(UnsafePickleError, match="damaged"):
        read_plain_pickle(huge, "x")


def test_what_is_no_array_is_told() -> None:
    with pytest.raises(UnsafePickleError, match="x: expected an array, got list"):
        array_of([1], "x")
