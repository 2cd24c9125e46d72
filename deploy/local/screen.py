"""What the local stack shows on the terminal: steps with their time, details, where to look next.

      2.4s  Topics    13, of which github.events is where webhooks arrive
      since the step  what came of it; details stand below it in the same column
      start

Design: a step is shown when it is done; on a terminal a dim line says before what is being done, and is replaced.
Colours on a terminal only. Invariant: without a terminal (or with NO_COLOR set, or TERM=dumb) the output is plain text,
whole lines only.
"""
from __future__ import annotations

import os
import shutil
import sys
import time

CLOCK_WIDTH = 6  # of the time before a step, with its unit
NAME_WIDTH = 9  # of the names of steps
MARGIN = CLOCK_WIDTH + 2 + NAME_WIDTH + 2  # columns before a detail

_LIVE = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
_COLOURS = _LIVE and not os.environ.get("NO_COLOR")
_STARTED = time.monotonic()
_transient = False  # the cursor is on a line that the next output replaces


def _paint(code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _COLOURS else text


def bold(text: str) -> str:
    return _paint("1", text)


def dim(text: str) -> str:
    return _paint("2", text)


def green(text: str) -> str:
    return _paint("32", text)


def yellow(text: str) -> str:
    return _paint("33", text)


def columns() -> int:
    """How wide the terminal is; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def cut(text: str, width: int) -> str:
    """The text in one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[:max(1, width - 1)].rstrip() + "…"


def seconds() -> float:
    """Since the start."""
    return time.monotonic() - _STARTED


def _clock() -> str:
    return f"{seconds():{CLOCK_WIDTH - 1}.1f}s"


def _write(text: str) -> None:
    """To standard output. When its reader has gone (`up | head`), nobody watches any more: as Ctrl-C."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        raise KeyboardInterrupt from None


def _print(text: str) -> None:
    global _transient
    _write(("\r\x1b[K" if _transient else "") + text + "\n")
    _transient = False


def doing(name: str, text: str) -> None:
    """On a terminal: says what is being done, until the next line replaces it. Nothing elsewhere."""
    global _transient
    if _LIVE:
        shown = cut(text, columns() - MARGIN - 1)
        _write("\r\x1b[K" + dim(f"{_clock()}  {name:<{NAME_WIDTH}}  {shown}"))
        _transient = True


def step(name: str, text: str) -> None:
    """A step is done, or begins a part of which the lines below tell."""
    _print(f"{dim(_clock())}  {bold(f'{name:<{NAME_WIDTH}}')}  {text}".rstrip())


def detail(text: str) -> None:
    """More about the step above."""
    _print(" " * MARGIN + text)


def line(text: str = "") -> None:
    """A line of its own, from the left edge."""
    _print(text)


def error(text: str) -> None:
    """What went wrong, on standard error."""
    global _transient
    if _transient:
        _write("\r\x1b[K")
        _transient = False
    name = _paint("31", "up:") if _COLOURS and sys.stderr.isatty() else "up:"
    print(f"{name} {text}", file=sys.stderr, flush=True)
