"""What all commands share: options spelt as in timm, errors, exit codes, output."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

SUSPICIOUS, FAILED, INTERRUPTED = 1, 2, 130

P = ParamSpec("P")
R = TypeVar("R")

DataDir = Annotated[
    str,
    typer.Option(
        "--data-dir",
        metavar="PATH|NAME",
        help="A folder of class folders, a .zip (or file.zip/folder inside), a CIFAR folder, "
        "an .npz, IDX files, a set written by `fctfast poison`, or the name 'digits'.",
    ),
]
Split = Annotated[str, typer.Option(help="Part of the data: train or test.")]
ImageSize = Annotated[
    int | None,
    typer.Option(min=1, metavar="PIXELS", help="Resize to a square; default: as they are."),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Use N images drawn with --seed; default: all."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result twice.")]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Images a step.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", "-j", min=1, help="Processes that decode images; default: cores."),
]
Amp = Annotated[bool, typer.Option("--amp", help="16-bit arithmetic in the network.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the results go.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result on stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
AlphaC = Annotated[
    float, typer.Option("--alpha-c", help="Share of the samples to keep as clean (D_c).")
]
AlphaP = Annotated[
    float, typer.Option("--alpha-p", help="Share of the samples to flag as poisoned (D_p).")
]
FailOnSuspicious = Annotated[
    bool,
    typer.Option(
        "--fail-on-suspicious", help="Exit 1 unless the verdict is no; needs robust mode's."
    ),
]


def refuse_without_verdict(fail_on_suspicious: bool, mode: str | None) -> None:
    """Raise ValueError where --fail-on-suspicious asks for a verdict that the mode has not."""
    if fail_on_suspicious and mode == "published":
        raise ValueError(
            "--fail-on-suspicious: an audit of --mode published gives no verdict; use --mode robust"
        )


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn exceptions of a command into one clear line and an exit code.

    A caller's mistake ends with its message and exit code 2; Ctrl-C with 130 and how to go on. The
    traceback appears only with --debug, for both kinds.

    Args:
        function: a command; its parameters ``out`` and ``debug`` are looked at if it has them.

    Returns:
        The command, with the same signature.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            _say(f"interrupted. {_how_to_resume(kwargs.get('out'))}")
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # the last resort: a line for the user, whatever it is
            # Typer's own usage errors print themselves and exit 2.
            if type(error).__module__.startswith(("click", "typer")):
                raise
            if kwargs.get("debug"):
                traceback.print_exc()
            _say(_explain(error))
            raise typer.Exit(FAILED) from None

    return run


def _how_to_resume(out: object) -> str:
    folder = None if out is None else Path(str(out))
    if folder is None or not folder.is_dir() or not any(folder.iterdir()):
        return "Run the same command again."
    return f"What is finished is kept in {out}; run the same command again to go on from there."


def _explain(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        return f"error: {text}"
    return f"error: {type(error).__name__}: {text} (--debug shows where)"


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def emit(result: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result on stdout.

    Args:
        result: what --json prints, sorted keys.
        lines: what a person reads.
        as_json: which of the two.
    """
    if as_json:
        print(json.dumps(result, indent=2, sort_keys=True, allow_nan=False), flush=True)
    else:
        print("\n".join(lines), flush=True)


def table(rows: Mapping[str, object], *, indent: int = 2) -> list[str]:
    """Lay out names and values in two columns.

    Args:
        rows: name to value; None values are left out.
        indent: spaces before a row.

    Returns:
        One line a row.
    """
    shown = {name: value for name, value in rows.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    return [f"{' ' * indent}{name:<{width}}  {value}" for name, value in shown.items()]


def percent(share: float | None) -> str | None:
    """0.98765 as '98.8 %'; None stays None."""
    return None if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """A threshold for a person; '-' for none."""
    return "-" if value is None else f"{value:.4g}"


def data_name(data_dir: str) -> str:
    """A short name for a data set, for default folder names: its last part without suffix."""
    return Path(data_dir.rstrip("/\\")).stem or "data"


def class_number(text: str, class_names: tuple[str, ...], option: str = "--target") -> int:
    """Read a class given by number or by name.

    Args:
        text: what the user wrote.
        class_names: of the data set.
        option: for the message.

    Returns:
        The class number.

    Raises:
        ValueError: neither a number in range nor a known name.
    """
    if text in class_names:
        return class_names.index(text)
    if text.isdecimal() and int(text) < len(class_names):
        return int(text)
    known = ", ".join(class_names[:12]) + (", ..." if len(class_names) > 12 else "")
    raise ValueError(
        f"{option}: expected a class name or a number in 0..{len(class_names) - 1}, got {text!r}; "
        f"classes: {known}"
    )
