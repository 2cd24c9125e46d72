"""What the local stack shows on the terminal: steps, results, where to look next. Colours on a terminal only.

Invariant: without a terminal (or with NO_COLOR set) the output is plain text, one line an event.
"""
from __future__ import annotations

import os
import sys
import time

_TTY = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
_STARTED = time.monotonic()


def _paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _TTY else text


def bold(text: str) -> str:
    return _paint("1", text)


def dim(text: str) -> str:
    return _paint("2", text)


def green(text: str) -> str:
    return _paint("32", text)


def step(text: str) -> None:
    """A part of the work begins."""
    print(f"{dim(f'{time.monotonic() - _STARTED:6.1f}s')}  {bold(text)}", flush=True)


def line(text: str = "") -> None:
    """A detail of the present part."""
    print(f"         {text}" if text else "", flush=True)


def progress(text: str) -> None:
    """Replaces the last progress line on a terminal; says nothing elsewhere."""
    if _TTY:
        print(f"\r\x1b[K         {dim(text)}", end="", flush=True)


def progress_end() -> None:
    if _TTY:
        print("\r\x1b[K", end="", flush=True)


def error(text: str) -> None:
    print(f"up: {text}", file=sys.stderr, flush=True)
