"""The command line: ``fctfast COMMAND``, one file a command.

A new command is one file with one function under ``@guarded`` (see ``poison.py``) and one line in
``app.py``. Imports of torch and of other rooms stand inside the functions: ``fctfast --help`` must
answer at once.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script and of ``python -m fctfast``."""
    from fctfast.cli.app import app

    app(prog_name="fctfast")
