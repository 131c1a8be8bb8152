"""The command line in a terminal of its own, as somebody who types sees it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")


class Terminal:
    """A process, and what it wrote so far.

    Attributes:
        raw: every byte of it.
        cooked: how the terminal was set when the process began.
    """

    def __init__(self, process: asyncio.subprocess.Process, ours: int, cooked: list[Any]) -> None:
        self.process = process
        self.raw = b""
        self.cooked = cooked
        self._ours = ours
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours, self._read)

    @property
    def text(self) -> str:
        """What was written, without the sequences that move the cursor and choose colours."""
        return _SEQUENCE.sub("", self.raw.decode(errors="replace"))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self._ours)

    async def until(self, text: str, *, since: int = 0) -> int:
        """Wait until this was written; return the place after it."""
        while text not in self.text[since:]:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), 20)
            except TimeoutError:
                raise AssertionError(f"waited for {text!r}, got {self.text[since:]!r}") from None
        return self.text.index(text, since) + len(text)

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # which is how a terminal ends on Linux
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._ours)
        self.raw += data
        self._news.set()


@asynccontextmanager
async def in_terminal(*args: str, state: Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    cooked = termios.tcgetattr(theirs)

    def begin() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "inference_async", *args),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=begin,
        env={
            **os.environ,
            "TERM": "xterm",
            "XDG_STATE_HOME": str(state),
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
            **(env or {}),
        },
    )
    terminal = Terminal(process, ours, cooked)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        with contextlib.suppress(OSError):
            os.close(theirs)
