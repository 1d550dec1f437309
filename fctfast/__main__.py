"""``python -m fctfast``: the same as the console script, as torchrun needs it."""

from __future__ import annotations

from fctfast.cli import main

if __name__ == "__main__":
    main()
