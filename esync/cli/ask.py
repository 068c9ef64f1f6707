"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

from esync.cli.output import write
from esync.text import visible_line


def is_typed() -> bool:
    """Return whether a person types the input."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str) -> bool:
    """Ask on stderr; only 'y' or 'yes' is a yes."""
    write(sys.stderr, f"{visible_line(question, limit=1000)} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
