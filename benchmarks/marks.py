"""What a process does for being measured."""

from __future__ import annotations

import gc
import os
import resource


def mark() -> None:
    """Enter a function of libc that nothing else enters: callgrind is told to begin a new part of its count there.

    Set one before and one after what is to be counted.
    """
    os.getsid(0)


def settle() -> None:
    """Set aside all that exists, once start-up and warming up are over.

    A full pass of the garbage collector goes through all of it, and would fall into some parts and not into others.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def cpu_seconds() -> float:
    """Of this process, in the system too."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
