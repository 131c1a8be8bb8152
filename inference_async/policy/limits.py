"""How much an answer may hold: bounds that keep a broken server from filling the memory of its client."""

from __future__ import annotations

from typing import Final

import msgspec

from ..errors import ConfigurationError

__all__ = ["Limits"]

MIB: Final = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds in bytes.

    Attributes:
        max_event_bytes: one event of a stream.
        max_body_bytes: a whole answer.
        max_error_body_bytes: the body of an error; what is beyond is not read.
    """

    max_event_bytes: int = 16 * MIB
    max_body_bytes: int = 64 * MIB
    max_error_body_bytes: int = MIB // 16

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"got {name}={value!r}, expected a number of bytes above 0")
