"""The demo: two real services on this machine, kept in step by esync."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esync.demo.compare import Comparison
    from esync.demo.demo import Demo, open_demo
    from esync.demo.headless import run_headless

__all__ = ["Comparison", "Demo", "open_demo", "run_headless"]

# Loaded when asked for: the target is a process of its own in this package, and no part of the
# engine or of PostgreSQL belongs in it.
_LOADED_LATER = {
    "Comparison": "esync.demo.compare",
    "Demo": "esync.demo.demo",
    "open_demo": "esync.demo.demo",
    "run_headless": "esync.demo.headless",
}

if not TYPE_CHECKING:  # type checkers would take every misspelt name for one of these

    def __getattr__(name: str) -> object:
        """Load the module of a public name when it is first asked for (PEP 562)."""
        if name not in _LOADED_LATER:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = getattr(import_module(_LOADED_LATER[name]), name)
        globals()[name] = value
        return value
