"""Loading an APP: the user's module that says which handlers a worker runs.

`module:attribute` names a SyncManager, or a function that takes a driver and returns one:

    def app(driver):
        manager = SyncManager(driver)
        manager.register_task_handler(...)
        return manager
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from typing import TYPE_CHECKING

from esync.engine.sync_manager import SyncManager
from esync.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from esync.driver import Driver

    AppFunction = Callable[[Driver], SyncManager]

_NAME = r"[^\W\d]\w*"
_SPEC = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME}(?:\.{_NAME})*)")
_SHOWN = 100


def load_app(spec: str, *, directory: Path) -> SyncManager | AppFunction:
    """Import what an APP names; raise AppError saying what could not be imported.

    The directory goes to the end of sys.path, so that no file in it can take the place of a module
    that is installed.
    """
    module_name, attribute = _split(spec)
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    found: object = _import(spec, module_name)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            msg = f"cannot load the app {spec!r}: {module_name} has no {attribute!r}"
            raise AppError(msg) from None
    if isinstance(found, SyncManager):
        return found
    if not callable(found) or inspect.isclass(found) or inspect.iscoroutinefunction(found):
        raise AppError(
            f"cannot load the app {spec!r}: it must be a SyncManager, or a function that takes a"
            f" driver and returns one, got {type(found).__name__}"
        )
    return found


def make_manager(spec: str, make: AppFunction, driver: Driver) -> SyncManager:
    """Call an APP's function; raise AppError when it raises or returns something else."""
    try:
        manager = make(driver)
    except BaseException as exc:
        if isinstance(exc, KeyboardInterrupt):
            raise
        msg = f"cannot load the app {spec!r}: {_describe(exc)}"
        raise AppError(msg) from exc
    if not isinstance(manager, SyncManager):
        raise AppError(
            f"cannot load the app {spec!r}: its function must return a SyncManager,"
            f" got {type(manager).__name__}"
        )
    return manager


def _split(spec: str) -> tuple[str, str]:
    """Return module and attribute; private machinery (__dunder__) is never meant."""
    match = _SPEC.fullmatch(spec)
    if match is None or any(part.startswith("__") for part in re.split(r"[.:]", spec)):
        raise AppError(f"an app must be module:attribute, got {spec[:_SHOWN]!r}")
    return match[1], match[2]


def _import(spec: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except BaseException as exc:  # a module may raise anything, sys.exit() included
        if isinstance(exc, KeyboardInterrupt):
            raise
        msg = f"cannot load the app {spec!r}: {_describe(exc)}"
        raise AppError(msg) from exc


def _describe(exc: BaseException) -> str:
    """Return what was raised, and the line of the user's code that raised it."""
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        return f"no module named {exc.name!r}{_place(exc)}"
    text = str(exc) if isinstance(exc, Exception) else repr(exc)
    return f"{type(exc).__name__}: {text}{_place(exc)}"


def _place(exc: BaseException) -> str:
    """Return ' (file:line)' of the innermost frame outside Python's import machinery and esync."""
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith("<frozen")
        and frame.filename not in (__file__, importlib.__file__)
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
