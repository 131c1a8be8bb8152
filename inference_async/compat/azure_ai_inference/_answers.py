"""Answers as the service sent them: the Structs of this package, back as plain objects.

`Open.to_dict` leaves out what is empty. Programs written for the retired SDK look for an empty text, for an empty list
of choices, and for a null where a finish reason will stand.
"""

from __future__ import annotations

import base64
import sys
from array import array
from functools import cache
from typing import Any, Final, TypeGuard, cast

import msgspec

from ...types import UNSET, AssistantMessage, ChatCompletion, Choice, ChunkChoice, EmbeddingsResult
from ...types.base import Open, is_array, is_object

__all__ = ["as_sent"]

_NULLABLE: Final[dict[type, tuple[str, ...]]] = {
    AssistantMessage: ("content", "tool_calls"),
    ChatCompletion: ("usage",),
    Choice: ("finish_reason",),
    ChunkChoice: ("finish_reason",),
}
"""Keys that are there, as null, if the service said nothing."""


def as_sent(answer: Open) -> dict[str, Any]:
    """An answer as a dict with the names of the wire."""
    row = cast("dict[str, Any]", _plain(answer))
    if isinstance(answer, EmbeddingsResult) and row.get("usage", {}).get("completion_tokens") == 0:
        del row["usage"]["completion_tokens"]  # vectors take none, and the service sends no such count
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, Open):
        row: dict[str, Any] = {"role": value.role} if isinstance(value, AssistantMessage) else {}
        nullable = _NULLABLE.get(type(value), ())
        for name, key, default in _fields(type(value)):
            item = getattr(value, name)
            if name == "tool_calls":
                item = item or None
            if item is not UNSET and (item is not None or default is not None or key in nullable):
                row[key] = _plain(item)
        row.update(value.extra)
        return row
    if _is_packed(value):
        return _unpacked(value)
    if is_object(value):
        return {key: _plain(item) for key, item in value.items()}
    if is_array(value) and value and not isinstance(value[0], float):  # of numbers there are thousands
        return [_plain(item) for item in value]
    return value


def _is_packed(value: object) -> TypeGuard[array[Any]]:
    return isinstance(value, array)


def _unpacked(vector: array[Any]) -> str | list[int]:
    """A vector as it came: floats that are packed came as base64 of little-endian bytes, integers as a list."""
    if vector.typecode != "f":
        return vector.tolist()
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")


@cache
def _fields(kind: type[Open]) -> tuple[tuple[str, str, Any], ...]:
    """Name, name on the wire, and default of what the service sends."""
    return tuple(
        (field.name, field.encode_name, field.default)
        for field in msgspec.structs.fields(kind)
        if not field.encode_name.startswith("*")
    )
