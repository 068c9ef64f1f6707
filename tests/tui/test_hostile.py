"""Text from elsewhere: shown as it is on every screen, never acting on console or terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fix_console import (
    LARGE,
    SMALL,
    FakeDriver,
    detail_of,
    last,
    name_row,
    on_console,
    task_row,
    worker_row,
)

from esync.errors import DriverUnavailableError
from esync.snapshot import Count, Pause

MARKUP = "[/b][@click=app.quit]x[/] [red"
CONTROL = "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\x00\r\x7f"
BIDI = "\u202egnp.exe\u2066\u200b\u2028"
WIDE = "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"
FLOOD = "z" + "\u0301" * 400
HOSTILE = (MARKUP, CONTROL, BIDI, WIDE, FLOOD, "\ud800", "$x ${y} %s {z}", "👨‍👩‍👧‍👦 é")
SIZES = [SMALL, LARGE]


def forbidden(text):
    """Return the characters of a screen that act on a terminal or hide others."""
    return {
        char
        for char in text
        if (char < " " and char != "\n")
        or "\x7f" <= char <= "\x9f"
        or char in "\u202e\u2066\u200b\u2028\ufeff"
        or "\ud800" <= char <= "\udfff"
    }


def hostile_driver(text):
    row = task_row(
        1, name=text, key=text, message=text, created_by=text, worker=text, state=text,
        cancel_requested=text,
    )  # fmt: skip
    failed = replace(row, state="FAILED", cancel_requested=None, task_id=task_row(2).task_id)
    error = {"attempt": text, "at": text, "outcome": text, "message": text, "traceback": text,
             "worker": text, "seconds": text}  # fmt: skip
    name = name_row(
        text,
        ready=Count(5),
        oldest_seconds=float("inf"),
        stream=text,
        pause=Pause(by=text, reason=text, seconds=1.0, resumes_in=None),
        last=last(text, key=text),
        last_failed=last(text, key=text),
    )
    details = {
        one.task_id: detail_of(
            one, message=text, raw_data=text, errors=(error,), history=(row, failed)
        )
        for one in (row, failed)
    }
    return FakeDriver(
        names=(name, name_row("calm")),
        workers=(worker_row(host=text, names=(text,), heartbeat_seconds=99.0),),
        rows=(failed, row),
        details=details,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_harmless_on_every_screen(text, size):
    seen = []

    async def look(screen):
        await screen.pilot.pause(0)
        assert not forbidden(screen.text)
        seen.append(screen.text)

    async def scenario(screen):
        await screen.see("calm")
        await look(screen)
        await screen.press("p")
        await look(screen)
        await screen.press("n", "i")
        await look(screen)
        await screen.press("escape", "2")
        await screen.see("rows 1-2")
        await look(screen)
        await screen.press("R")
        await look(screen)
        await screen.press("n", "a", "R")
        await look(screen)
        await screen.press("escape", "enter")
        await screen.see("[Message]")
        for _ in range(4):
            await look(screen)
            await screen.press("right_square_bracket")
        await screen.press("ctrl+p")
        await look(screen)

    assert on_console(scenario, driver=hostile_driver(text), size=size) is None
    assert len(seen) == 11


@pytest.mark.parametrize("size", SIZES)
def test_markup_is_shown_verbatim(size):
    async def scenario(screen):
        await screen.see(MARKUP)
        await screen.press("2")
        await screen.see("[/b][@click")
        await screen.press("enter")
        await screen.see(f"< {MARKUP}"[:40])

    on_console(scenario, driver=hostile_driver(MARKUP), size=size)


def test_a_click_on_markup_does_nothing():
    async def scenario(screen):
        await screen.see(MARKUP)
        for column in range(0, 40, 4):
            await screen.pilot.click(offset=(column, 5))
        assert screen.app.is_running

    assert on_console(scenario, driver=hostile_driver(MARKUP)) is None


def test_an_error_of_the_database_is_text_from_elsewhere_too():
    driver = FakeDriver(error=DriverUnavailableError(f"{MARKUP}{CONTROL}"))

    async def scenario(screen):
        await screen.see("[/b]")
        assert not forbidden(screen.text)

    on_console(scenario, driver=driver)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", [WIDE, FLOOD, "👨‍👩‍👧‍👦 é"], ids=ascii)
def test_every_line_is_exactly_as_wide_as_the_screen(text, size):
    async def scenario(screen):
        await screen.see("calm")
        for keys in (["2"], ["enter"]):
            strips = screen.app.screen._compositor.render_strips()
            assert {strip.cell_length for strip in strips} == {size[0]}
            await screen.press(*keys)
            await screen.pilot.pause(0)

    on_console(scenario, driver=hostile_driver(text), size=size)
