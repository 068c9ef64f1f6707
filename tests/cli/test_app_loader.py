"""Loading an APP: what it may be, and what is said when it cannot be loaded."""

from __future__ import annotations

import sys

import pytest

from esync.cli.app_loader import load_app, make_manager
from esync.engine.sync_manager import SyncManager
from esync.errors import AppError
from esync.memory import MemoryDriver

GOOD = """
from esync.engine.sync_manager import SyncManager
from esync.memory import MemoryDriver

def app(driver):
    return SyncManager(driver)

ready = SyncManager(MemoryDriver())

class Nested:
    manager = ready
    kind = SyncManager

async def later(driver):
    return SyncManager(driver)

number = 5
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose modules are forgotten after the test."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "loaded_good.py").write_text(GOOD)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]
    sys.path_importer_cache.pop(str(tmp_path), None)


def test_a_ready_manager_is_taken(folder):
    assert isinstance(load_app("loaded_good:ready", directory=folder), SyncManager)
    assert isinstance(load_app("loaded_good:Nested.manager", directory=folder), SyncManager)


def test_a_function_is_given_the_driver(folder):
    make = load_app("loaded_good:app", directory=folder)
    assert isinstance(make_manager("loaded_good:app", make, MemoryDriver()), SyncManager)


def test_the_folder_comes_last_on_the_path(folder):
    load_app("loaded_good:app", directory=folder)
    assert sys.path[-1] == str(folder)


def test_a_planted_module_does_not_take_the_place_of_an_installed_one(folder):
    (folder / "colorsys.py").write_text("raise SystemExit('planted')\n")
    with pytest.raises(AppError, match="colorsys has no 'app'"):
        load_app("colorsys:app", directory=folder)


@pytest.mark.parametrize(
    "spec",
    [
        "", "app", "a:", ":x", "a:b:c", "../x:y", "a.b", "a b:c", "a:b()", "a:__class__",
        "__main__:x", "a.__b__:c", "a:b.__globals__", "a\n:b", "1a:b", "a:1", "a:b;c", "/x:y",
    ],
)  # fmt: skip
def test_what_is_no_module_and_attribute_is_refused(folder, spec):
    with pytest.raises(AppError, match="must be module:attribute"):
        load_app(spec, directory=folder)


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ("nothing", "loaded_good has no 'nothing'"),
        ("Nested.nothing", "loaded_good has no 'Nested.nothing'"),
        ("number", "got int"),
        ("Nested.kind", "got type"),
        ("later", "got function"),
    ],
)
def test_other_attributes_are_refused(folder, attribute, told):
    with pytest.raises(AppError, match=told):
        load_app(f"loaded_good:{attribute}", directory=folder)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nosuchmodule", r"no module named 'nosuchmodule' \(.*loaded_bad.py:1\)"),
        ("\nx = 1 / 0", r"ZeroDivisionError: division by zero \(.*loaded_bad.py:2\)"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", r"SystemExit\(3\)"),
        ("import sys\nsys.exit('bye')", "SystemExit"),
        ("class E(BaseException): pass\nraise E('odd')", "odd"),
        ("from esync import nosuchname", "ImportError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(folder, source, told):
    (folder / "loaded_bad.py").write_text(source)
    with pytest.raises(AppError, match=told):
        load_app("loaded_bad:app", directory=folder)


def test_a_module_that_is_not_there_is_named(folder):
    with pytest.raises(AppError, match="no module named 'loaded_nowhere'"):
        load_app("loaded_nowhere:app", directory=folder)


def fails(_driver):
    raise SystemExit("no configuration")


def asks_for_more(_driver, _more):
    return None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda _driver: None, "must return a SyncManager, got NoneType"),
        (fails, "no configuration"),
        (asks_for_more, "TypeError"),
        (print, "got NoneType"),
    ],
)
def test_a_function_that_makes_no_manager_is_refused(make, told):
    with pytest.raises(AppError, match=told):
        make_manager("a:b", make, MemoryDriver())


def test_an_interrupt_is_no_error_of_the_app():
    def interrupted(_driver):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_manager("a:b", interrupted, MemoryDriver())
