"""The entry of `esync`: options that say which queue, the commands, and how errors end."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from esync.cli.failure import ExitCode, exit_code_of, report
from esync.cli.options import called_command, hoist
from esync.cli.output import warn, write
from esync.cli.session import DriverFactory, Session, open_postgres
from esync.errors import EsyncError
from esync.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INTERRUPTED = 130
"""What a shell reports for a command that SIGINT ended."""

_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE)

_GARBAGE_THRESHOLD = 50_000
"""Objects made between two looks for cyclic garbage. With Python's 700, start-up and every pop are
full of looks that find nothing, which cost 7 % of either."""

COMMANDS = {
    "migrate": ("migrate",),
    "add": ("add",),
    "status": ("status", "workers"),
    "list": ("tasks",),
    "show": ("show",),
    "change": ("requeue", "cancel", "run-now"),
    "pause": ("pause", "resume"),
    "worker": ("worker",),
    "demo": ("demo",),
}
"""The modules command_*.py and what they register, in the order of --help."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the commands: the one that is called if that can be told, else all of them.

    A worker would spend an eighth of its start on those that are not called.
    """
    app = typer.Typer(
        name="esync",
        help="A synchronisation queue on PostgreSQL where the newest request wins.",
        epilog="--dsn, --table and --schema may stand before or after the command. Exit codes:"
        " 0 done, 1 nothing matched or the state does not allow it, 2 wrong use, 3 more than"
        " --max, 4 no database or schema, 5 left with handlers still running.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(choose)
    called = called_command(arguments)
    parts = [part for part, names in COMMANDS.items() if called in names]
    for part in parts or COMMANDS:
        import_module(f"esync.cli.command_{part}").register(app)
    return app


def _version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the value of the flag
    if value:
        typer.echo(f"esync {__version__}")
        raise typer.Exit


def choose(
    ctx: typer.Context,
    *,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn", help="The database; else ESYNC_DSN, DATABASE_URL, DB_* or PG*.", metavar="DSN"
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="The table, or schema.table [message_queue].")
    ] = None,
    schema: Annotated[str | None, typer.Option(help="The schema [public].")] = None,
    version: Annotated[  # noqa: ARG001 - the callback acts on it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Keep the options that say which queue is meant."""
    Session.of(ctx).choose(dsn=dsn, schema=schema, table=table)


def main(
    arguments: Sequence[str] | None = None,
    *,
    open_driver: DriverFactory = open_postgres,
    environ: Mapping[str, str] | None = None,
) -> NoReturn:
    """Run a command and end the process with its exit code."""
    gc.set_threshold(_GARBAGE_THRESHOLD)
    arguments = sys.argv[1:] if arguments is None else arguments
    run(build(arguments), arguments, open_driver=open_driver, environ=environ)


def run(
    commands: typer.Typer,
    arguments: Sequence[str],
    *,
    open_driver: DriverFactory,
    environ: Mapping[str, str] | None,
) -> NoReturn:
    """Run typer's commands; end with the exit code, after one line for an error of ours."""
    _prepare_streams()
    session = Session(
        environ=os.environ if environ is None else environ,
        directory=Path.cwd(),
        open_driver=open_driver,
    )
    code = _call(commands, arguments, session)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # an APP may have closed or replaced it
            write(stream, "")  # what cannot be written now changes the exit code at Python's end
    if code == ExitCode.STILL_RUNNING:
        logging.shutdown()
        os._exit(code)  # Python would wait for the threads of the handlers
    sys.exit(code)


def _call(commands: typer.Typer, arguments: Sequence[str], session: Session) -> int:
    stdout = sys.stdout
    try:
        commands(hoist(arguments), prog_name=commands.info.name, obj=session)
    except EsyncError as error:
        report(error, migrate_command=session.migrate_command())
        return exit_code_of(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        return _unwritten(error)
    except SystemExit as end:
        if sys.stdout is not stdout:  # typer has replaced it, since nobody reads the help
            return ExitCode.DONE
        if not isinstance(end.code, int):
            raise  # an APP's own
        return end.code
    return ExitCode.DONE


def _unwritten(error: OSError) -> int:
    """Return the exit code when typer could not write its help, or what it says of wrong use."""
    code = getattr(error.__context__, "exit_code", None)
    if isinstance(code, int):
        return code
    if error.errno not in _UNWRITTEN:
        raise error
    warn(f"the output cannot be written: {error.strerror}")
    return ExitCode.NOTHING_DONE


def _prepare_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us (`<&-`)
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - kept
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
