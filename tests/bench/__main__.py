"""`python -m tests.bench`: what esync does, what it must do, and what PostgreSQL would allow.

Tables go to stdout, progress to stderr. Without --dsn a PostgreSQL of its own is measured.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable  # noqa: TC003 - typer reads the annotations at run time
from dataclasses import dataclass
from functools import partial
from pathlib import Path  # noqa: TC003 - the same
from typing import Annotated

import typer

from tests.bench import (
    consoles,
    crowd,
    flow_hot,
    flow_long,
    flow_snapshot,
    handlers,
    inserts,
    scale,
    startup,
)
from tests.bench.peers import DEFAULT_PEERS, measure_peers
from tests.bench.report import machine
from tests.bench.server import open_server
from tests.bench.table import measure, show_bases, show_peers, show_works

app = typer.Typer(
    help=__doc__, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every command needs; `ctx.obj`."""

    dsn: str | None
    runs: int


@app.callback(invoke_without_command=True)
def bench(
    ctx: typer.Context,
    *,
    dsn: Annotated[str | None, typer.Option(help="A server that runs already.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Of each figure.")] = 3,
    tasks: Annotated[int, typer.Option(min=1, help="In a queue that is drained.")] = 50_000,
    peers: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="The scripts that measure others; takes minutes."
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help=f"One of them; may be repeated. [default: {', '.join(DEFAULT_PEERS)}]"),
    ] = None,
) -> None:
    """Print the table: esync, its statements without the engine, and other queues."""
    ctx.obj = Options(dsn=dsn, runs=runs)
    if ctx.invoked_subcommand is not None:
        return
    with open_server(dsn) as server:
        typer.echo(f"{machine(server)}\n{tasks:,} tasks drained; medians of {runs} [least-most]\n")
        figures = measure(server, runs=runs, tasks=tasks)
        typer.echo(show_works(figures))
        typer.echo(show_bases(figures))
    if peers is not None:
        typer.echo(show_peers(figures, measure_peers(peers, peer or DEFAULT_PEERS)))


Quick = Annotated[bool, typer.Option("--quick", help="A tenth of everything.")]


@app.command("scale")
def bench_scale(
    ctx: typer.Context,
    *,
    finished: Annotated[int, typer.Option(min=0, help="Rows beside the work.")] = 10_000_000,
    minutes: Annotated[float, typer.Option(min=0.1, help="At full rate.")] = 10.0,
    quick: Quick = False,
) -> None:
    """Print how the rates hold as the work grows, and while something goes on."""
    if quick:
        minutes /= 10
    runs = (
        partial(scale.run, finished=finished),
        flow_hot.run,
        flow_snapshot.run,
        partial(flow_long.run, minutes=minutes),
    )
    for run in runs:
        _print(ctx, run, quick=quick)


def _add(name: str, run: Callable[..., str], text: str) -> None:
    """Add a command that has no options of its own."""

    @app.command(name, help=text)
    def command(ctx: typer.Context, *, quick: Quick = False) -> None:
        _print(ctx, run, quick=quick)


_add("hot", flow_hot.run, "Print what 100,000 requests of one key do to the other keys.")
_add("snapshot", flow_snapshot.run, "Print what an old snapshot costs.")
_add("crowd", crowd.run, "Print what up to 50 worker processes do.")
_add("handlers", handlers.run, "Print what waiting handlers do, coroutines and threads.")
_add("consoles", consoles.run, "Print what five open consoles cost a worker.")
_add("inserts", inserts.run, "Print what the wake-up trigger costs 16 clients.")
_add("startup", startup.run, "Print how long a worker takes to its first task.")


def _print(ctx: typer.Context, run: Callable[..., str], *, quick: bool) -> None:
    options: Options = ctx.obj
    with open_server(options.dsn) as server:
        typer.echo(f"{machine(server)}\n\n{run(server, runs=options.runs, quick=quick)}")


if __name__ == "__main__":
    # What was started is ended, however this ends.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    app(prog_name="python -m tests.bench")
