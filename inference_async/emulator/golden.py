"""The golden answer: one short chat answer, the same bytes each time, whole and as a stream of six events."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["DONE", "FINISH_REASON", "TEXT", "USAGE", "chunk", "completion", "documents", "dumped", "event"]

TEXT: Final = "Grüße aus Köln."
FINISH_REASON: Final = "stop"
USAGE: Final = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
DONE: Final = b"data: [DONE]\n\n"

_ABOUT: Final = {"id": "chatcmpl-golden", "created": 1700000000, "model": "emulator/golden"}


def dumped(value: object) -> bytes:
    """A value as compact JSON; bytes are what they are."""
    return value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    """One server-sent event that holds a value as JSON, or bytes as they are."""
    return b"data: " + dumped(value) + b"\n\n"


def chunk(content: str | None = None, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of the golden stream, with one choice."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_ABOUT, "object": "chat.completion.chunk", "choices": [choice], **fields}


def documents() -> list[dict[str, Any]]:
    """What the events of the golden stream hold, but for the end mark."""
    return [
        chunk("Grüße"),
        chunk(" aus"),
        chunk(" Köln."),
        chunk(finish_reason=FINISH_REASON),
        chunk(choices=[], usage=USAGE),
    ]


def completion(**fields: Any) -> dict[str, Any]:
    """The golden answer as a whole."""
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": FINISH_REASON}
    return {**_ABOUT, "object": "chat.completion", "choices": [choice], "usage": USAGE, **fields}
