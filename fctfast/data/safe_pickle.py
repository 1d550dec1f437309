"""Take a pickle apart without running it: only plain values and NumPy arrays come out.

``pickle.load`` calls whatever the file names. Here the operations are read one by one with the
standard library's disassembler, on a stack of our own; a name is looked up in a short list, and
what stands behind it is never called: an array is rebuilt from its bytes, shape and type.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_RECONSTRUCT = "reconstruct"
_ARRAY = "array"
_DTYPE = "dtype"
_ENCODE = "encode"
_BYTES = "bytes"
_ALLOWED = {
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy ndarray": _ARRAY,
    "numpy dtype": _DTYPE,
    "_codecs encode": _ENCODE,
    "__builtin__ bytes": _BYTES,
}
_NUMBER_TYPE = re.compile(r"[biuf][1248]|\?")


class UnsafePickleError(ValueError):
    """A pickle that holds more than plain values and arrays, or is damaged."""


@dataclass(frozen=True)
class _Name:
    meaning: str


@dataclass
class _Dtype:
    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2:
            raise UnsafePickleError(f"an array type with the state {state!r:.80}")
        self.order = {"<": "<", ">": ">", "|": "|"}.get(_text(state[1]), "=")

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


@dataclass
class _Array:
    """An array before its state is known; ``value`` once it is."""

    value: npt.NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Dtype)):
            raise UnsafePickleError("an array that is not numbers with a shape")
        _, shape, dtype, fortran, raw = state
        if isinstance(raw, str):  # Python 2's bytes
            raw = raw.encode("latin-1")
        if not isinstance(raw, bytes) or not isinstance(shape, tuple):
            raise UnsafePickleError("an array without bytes")
        flat = np.frombuffer(raw, dtype.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C")


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)  # what stands under each mark
    memo: dict[int, Any] = field(default_factory=dict)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def name(self, spelled: str) -> None:
        if spelled not in _ALLOWED:
            raise UnsafePickleError(
                f"it names {spelled.replace(' ', '.')}, which is neither a plain value nor an array"
            )
        self.stack.append(_Name(_ALLOWED[spelled]))

    def reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise UnsafePickleError("it calls something that is no allowed name")
        self.stack.append(_stand_in(called.meaning, arguments))

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise UnsafePickleError("it sets the state of something that is no array")
        self.stack[-1].build(state)

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise UnsafePickleError("it appends to something that is no list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise UnsafePickleError("it sets keys of something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Text alone: hashing a tuple nested a million deep would overflow the C stack.
            target[_text(key)] = value


def _stand_in(meaning: str, arguments: tuple[Any, ...]) -> Any:
    if meaning == _RECONSTRUCT:
        return _Array()
    if meaning == _DTYPE and arguments and _NUMBER_TYPE.fullmatch(_text(arguments[0])):
        return _Dtype(_text(arguments[0]))
    # How Python 3 writes bytes in the old protocols: none, and some.
    if meaning == _BYTES and not arguments:
        return b""
    if meaning == _ENCODE and arguments[1:] == ("latin1",) and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    raise UnsafePickleError(f"it makes a {meaning} from {arguments!r:.80}")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise UnsafePickleError(f"expected text, got {value!r:.80}")


_PUSH_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = {"PROTO", "FRAME", "STOP"}


def _step(machine: _Machine, operation: str, argument: Any) -> None:  # noqa: PLR0912
    stack, memo = machine.stack, machine.memo
    if operation == "MARK":
        machine.mark()
    elif operation in _PUSH_ARGUMENT:
        stack.append(argument)
    elif operation in _PUSH_CONSTANT:
        stack.append(_PUSH_CONSTANT[operation]())
    elif operation in _TUPLES:
        size = _TUPLES[operation]
        if len(stack) < size:
            raise UnsafePickleError("a tuple of more values than there are")
        stack[-size:] = [tuple(stack[-size:])]
    elif operation == "TUPLE":
        items = machine.pop_to_mark()
        machine.stack.append(tuple(items))
    elif operation == "LIST":
        items = machine.pop_to_mark()
        machine.stack.append(items)
    elif operation == "DICT":
        items = machine.pop_to_mark()
        machine.stack.append({})
        machine.update(items)
    elif operation == "APPEND":
        machine.extend([stack.pop()])
    elif operation == "APPENDS":
        machine.extend(machine.pop_to_mark())
    elif operation == "SETITEM":
        value, key = stack.pop(), stack.pop()
        machine.update([key, value])
    elif operation == "SETITEMS":
        machine.update(machine.pop_to_mark())
    elif operation in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif operation == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif operation in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif operation == "GLOBAL":
        machine.name(argument)
    elif operation == "STACK_GLOBAL":
        name, module = stack.pop(), stack.pop()
        machine.name(f"{_text(module)} {_text(name)}")
    elif operation == "REDUCE":
        machine.reduce()
    elif operation == "BUILD":
        machine.build()
    elif operation not in _NOTHING:
        raise UnsafePickleError(f"it holds the operation {operation}, which is not allowed")


def read_plain_pickle(data: bytes, what: str) -> Any:
    """Read a pickle of numbers, text, lists, tuples, dicts and NumPy arrays; run nothing.

    Args:
        data: the pickle, any protocol; Python 2's strings come as str decoded from Latin-1.
        what: the file, for messages.

    Returns:
        The outermost value; keys of dicts are str; arrays inside stay wrapped until
        :func:`array_of`.

    Raises:
        UnsafePickleError: it names anything else, or is damaged.
    """
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(data):
            _step(machine, operation.name, argument)
        (value,) = machine.stack
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{what}: refused: {error}. A CIFAR file holds only numbers, text and arrays; this one "
            "was damaged or tampered with, and nothing in it was run"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UnsafePickleError(f"{what}: this pickle is damaged: {error}") from error
    return value


def array_of(value: Any, what: str) -> npt.NDArray[Any]:
    """Unwrap an array that :func:`read_plain_pickle` met.

    Args:
        value: what it returned, or a part of that.
        what: the file, for messages.

    Returns:
        The array, read-only.

    Raises:
        UnsafePickleError: the value is no array.
    """
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    raise UnsafePickleError(f"{what}: expected an array, got {type(value).__name__.strip('_')}")
