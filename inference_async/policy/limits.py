"""How much an answer may hold: bounds that keep a broken server from filling the memory of its client."""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import ConfigurationError

__all__ = ["DEFAULT_LIMITS", "Limits"]

MIB: Final = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one answer; each may be raised, none can be lifted.

    Attributes:
        max_event_bytes: bytes of one event of a stream; also once what is no UTF-8 in it is replaced.
        max_body_bytes: bytes of a whole answer; of a streamed one, bytes of memory for what has arrived, about.
        max_error_body_bytes: bytes of the body of an error; what is beyond is not read.
        max_event_values: JSON values in one event, counted where it is large (256 KiB): an array, an object or a string
            is one, eight numbers are one. Decoding that many takes some 50 ms at worst.
        max_body_values: the same for a whole answer; enough for 2,048 vectors of 3,072 numbers, and for 6,000 tokens
            with 20 alternatives each.
        max_choices: choices of one answer.
        max_tool_calls: tool calls of one choice.
    """

    max_event_bytes: int = 16 * MIB
    max_body_bytes: int = 64 * MIB
    max_error_body_bytes: int = MIB // 16
    max_event_values: int = 131_072
    max_body_values: int = 1_048_576
    max_choices: int = 128
    max_tool_calls: int = 1024

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                kind = "bytes" if name.endswith("_bytes") else name.rpartition("max_")[2].replace("_", " ")
                raise ConfigurationError(f"got {name}={value!r}, expected a number of {kind} above 0")


DEFAULT_LIMITS: Final = Limits()
