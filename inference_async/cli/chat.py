"""`inference-async chat`: one prompt, one streamed answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console

from ..errors import InferenceError
from ..local import connect
from ..types import ChatCompletion, Message, SystemMessage, UserMessage

__all__ = ["chat"]

_CUT: Final = {
    "length": "by the limit of tokens (finish reason 'length')",
    "content_filter": "by content safety (finish reason 'content_filter')",
}
_CONTROL: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {0x09, 0x0A})


async def chat(
    prompt: str, *, system: str | None, model: str | None, endpoint: str | None, options: dict[str, Any]
) -> int:
    """Stream the answer to stdout, the rest to stderr; return the exit code: 0, or 3 if the answer is cut."""
    # On a terminal lines are wrapped at words; elsewhere a note stays one line.
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=not sys.stderr.isatty())

    def note(text: str, style: str = "dim") -> None:
        with contextlib.suppress(OSError):  # the answer matters more than what is said beside it
            console.print(text, style=style)

    messages: list[Message] = [*([SystemMessage(system)] if system else []), UserMessage(prompt)]
    show = _shower()
    async with connect(endpoint, model=model, note=note) as client:
        now = asyncio.get_running_loop().time
        started = now()
        first: float | None = None
        async with client.stream(messages, **options) as stream:
            try:
                async for text in stream.text():
                    first = first if first is not None else now() - started
                    show(text)
            except InferenceError:
                if first is not None and sys.stdout.isatty():
                    show("\n")  # so that the error has a line of its own
                raise
        completion = stream.completion
        if first is not None:
            show("\n")
        note(_summary(completion, first, now() - started))
    if first is None:
        note("the answer is empty", "yellow")
    if stream.retract_from is not None:
        count = len(completion.text) - stream.retract_from
        note(f"content safety looked after the fact: the last {count} characters are not to be shown", "yellow")
    if completion.finish_reason in _CUT:
        note(f"the answer is cut {_CUT[completion.finish_reason]}", "yellow")
        return 3
    return 0


def _shower() -> Callable[[str], None]:
    """Writes text to stdout at once; on a terminal without control characters, which could drive it."""
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="replace")
    is_terminal = stdout.isatty()

    def show(text: str) -> None:
        stdout.write(text.translate(_CONTROL) if is_terminal else text)
        stdout.flush()

    return show


def _summary(completion: ChatCompletion, first: float | None, total: float) -> str:
    usage = completion.usage
    parts = [completion.model or "unknown model"]
    if usage is not None:
        parts.append(f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens} tokens")
    else:
        parts.append("no usage reported")
    if first is not None:
        parts.append(f"first text after {first:.2f} s")
    parts.append(f"{total:.2f} s in all")
    return ", ".join(parts)
