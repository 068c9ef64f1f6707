"""One entry for the modules that can be run alone: `python -m tests.bench.NAME`."""

from __future__ import annotations

import argparse
import inspect
import signal
import sys
from typing import TYPE_CHECKING

from tests.bench.report import machine
from tests.bench.server import open_server

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARED = ("server", "runs", "quick")


def enter(run: Callable[..., str]) -> None:
    """Read the options, run one module's measurements and print their tables.

    Further keyword arguments of `run` with a number as default become options.
    """
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--dsn", help="a server that runs already; else one of our own")
    parser.add_argument("--runs", type=int, default=3, help="of each figure [3]")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    for name, parameter in inspect.signature(run).parameters.items():
        if name not in _SHARED:
            kind, shown = type(parameter.default), f"[{parameter.default}]"
            parser.add_argument(f"--{name}", type=kind, default=parameter.default, help=shown)
    options = vars(parser.parse_args())
    # What was started is ended, however this ends.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with open_server(options.pop("dsn")) as server:
        sys.stdout.write(f"{machine(server)}\n\n{run(server, **options)}\n")


def say(text: str) -> None:
    """Tell on stderr what happens, so that stdout holds tables only."""
    sys.stderr.write(f"{text}\n")
