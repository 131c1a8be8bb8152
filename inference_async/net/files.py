"""Files of the caller's, read off the event loop and within a bound."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import anyio.to_thread

from ..errors import ConfigurationError
from ..types.base import is_whole

__all__ = ["read"]

T = TypeVar("T")


async def read(path: str | os.PathLike[str], *, max_bytes: int, then: Callable[[bytes], T]) -> T:
    """What `then` makes of a file's bytes; both the reading and the making happen in a thread.

    Cancelling it leaves the thread to end by itself, its result unused.

    Raises:
        ConfigurationError: there is no such file, it cannot be read, it is larger than `max_bytes`, or `then` refuses
            it; the message names the file.
    """
    return await anyio.to_thread.run_sync(_read, path, max_bytes, then, abandon_on_cancel=True)


def _read(path: str | os.PathLike[str], max_bytes: int, then: Callable[[bytes], T]) -> T:
    if not isinstance(cast("object", path), str | os.PathLike) or not isinstance(cast("object", os.fspath(path)), str):
        raise ConfigurationError(f"got a path of type {type(path).__name__}, expected text or a pathlib.Path")
    if not is_whole(max_bytes) or not 0 <= max_bytes < 2**62:
        raise ConfigurationError(f"got max_bytes={max_bytes!r}, expected a number of bytes")
    name = repr(os.fspath(path))
    try:
        # A pipe that nobody writes to would hold the thread, and with it the end of the program.
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ConfigurationError(f"got {name}, which is a device or a pipe, expected a file")
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except ConfigurationError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"the file {name} cannot be read: {reason.lower()}") from None
    if len(data) > max_bytes:
        raise ConfigurationError(f"the file {name} is over {max_bytes:,} bytes; max_bytes= sets the bound")
    try:
        return then(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"the file {name}: {error}") from None
