"""For tests of programs that call models: answers in one line, servers without a model, and no real calls.

::

    from inference_async.testing import completion

    async def test_it(inference_emulator, inference_client):
        inference_emulator.script("Rain.", completion("Sun.", usage=(9, 2)))
        assert (await inference_client.complete("What will the weather be?")).text == "Rain."

The fixtures come with the package, by way of a pytest plugin. Without pytest, `RunningEmulator`, `ScriptedTransport`,
`cassette` and `forbid_real_calls` do the same. Each name is loaded when it is asked for (PEP 562), for pytest imports
this package in every run.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builders import chunks, completion, sse, tool_call
    from .cassettes import Cassette, cassette
    from .conformance import CHECKS, Finding, check_conformance
    from .errors import NoAnswerError, RealCallError
    from .guard import Prohibition, forbid_real_calls
    from .running import RunningEmulator
    from .transport import ScriptedTransport

_HOMES = {
    "chunks": "builders",
    "completion": "builders",
    "sse": "builders",
    "tool_call": "builders",
    "Cassette": "cassettes",
    "cassette": "cassettes",
    "CHECKS": "conformance",
    "Finding": "conformance",
    "check_conformance": "conformance",
    "NoAnswerError": "errors",
    "RealCallError": "errors",
    "Prohibition": "guard",
    "forbid_real_calls": "guard",
    "RunningEmulator": "running",
    "ScriptedTransport": "transport",
}

__all__ = [
    "CHECKS",
    "Cassette",
    "Finding",
    "NoAnswerError",
    "Prohibition",
    "RealCallError",
    "RunningEmulator",
    "ScriptedTransport",
    "cassette",
    "check_conformance",
    "chunks",
    "completion",
    "forbid_real_calls",
    "sse",
    "tool_call",
]


if not TYPE_CHECKING:  # or the checkers would believe in any name at all

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
