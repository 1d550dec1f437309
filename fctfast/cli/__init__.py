"""The command line: ``fctfast COMMAND``, one file a command.

A new command is one file with one function under ``@guarded`` (see ``poison.py``) and one line in
``app.py``. Imports of torch and of other rooms stand inside the functions: ``fctfast --help`` must
answer at once.
"""

from __future__ import annotations

import os


def main() -> None:
    """Entry point of the console script and of ``python -m fctfast``."""
    # Read when torch loads OpenMP. Its threads spin for milliseconds while they wait, which on a
    # machine that does other work too nearly doubles a training step; alone it changes nothing.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    from fctfast.cli.app import app

    app(prog_name="fctfast")
