"""Text that came from somewhere else: made storable on its way in, harmless on its way out."""

from __future__ import annotations

MESSAGE_LIMIT_BYTES = 8 * 1024
TRACEBACK_LIMIT_BYTES = 2 * 1024

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400
_AGES = 9999.0 * _YEAR

# Control pictures for C0 and DEL, U+FFFD for C1 and for what turns or hides text (bidirectional
# controls, zero-width characters, line and paragraph separators, tags). U+200C and U+200D occur
# in real text and are left alone.
_VISIBLE = {i: 0x2400 + i for i in range(0x20) if i not in (0x09, 0x0A)}
_VISIBLE |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
_VISIBLE |= dict.fromkeys(
    (0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF, 0x00AD), 0xFFFD
)
_VISIBLE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)
_VISIBLE |= dict.fromkeys((*range(0xD800, 0xE000), *range(0xE0000, 0xE0080)), 0xFFFD)


def clean(text: str, *, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> str:
    """Return text that PostgreSQL stores: no NUL, no lone surrogates, cut to a size in bytes."""
    text = text[:limit_bytes].replace("\x00", "\u2400")
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= limit_bytes:
        return encoded.decode()
    return encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def visible_line(text: str, *, limit: int = 500) -> str:
    """Return one line in which nothing acts on a terminal and nothing hides."""
    shown = text[:limit].translate(_VISIBLE)
    return shown.replace("\n", "⏎ ").replace("\t", " ")


def visible_block(text: str, *, limit: int = 64_000) -> str:
    """Return lines in which nothing acts on a terminal and nothing hides."""
    return text[:limit].translate(_VISIBLE).expandtabs(4)


def age(seconds: float) -> str:
    """Return a span of time in at most six characters: 3s, 14m02s, 2h10m, 6d04h, 99d, 3y."""
    whole = int(min(max(0.0, seconds), _AGES))  # a do_after of -infinity has been due for ever
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    if whole < 10 * _DAY:
        return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"
    return f"{whole // _DAY}d" if whole < 3 * _YEAR else f"{whole // _YEAR}y"
