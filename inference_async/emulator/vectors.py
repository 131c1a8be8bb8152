"""Vectors made from text or bytes: always the same, of length one, and nearer where words are shared."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["ENCODINGS", "encoded", "vector_of"]

ENCODINGS: Final = ("float", "base64", "int8", "uint8", "binary", "ubinary")
"""The forms in which a vector may be asked for."""

_WORD: Final = re.compile(r"\w+")


def vector_of(text: str, dimensions: int, *, data: bytes = b"") -> list[float]:
    """The vector of a text: the sum of those of its words, and a little of its own, so that their order counts.

    Args:
        text: what it is of.
        dimensions: how many numbers it has; a shorter one points where the beginning of a longer one does.
        data: a picture that the text is about.
    """
    seeds = [word.lower().encode() for word in _WORD.findall(text)]
    if data:
        seeds.append(b"\0" + data)
    words = [_noise(seed, dimensions) for seed in seeds]
    columns = [sum(column) * 4 for column in zip(*words, strict=True)] if words else [0] * dimensions
    numbers = [column + own for column, own in zip(columns, _noise(b"\1" + text.encode(), dimensions), strict=True)]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def encoded(vector: Sequence[float], encoding: str) -> Any:
    """A vector in one of the `ENCODINGS`.

    base64 holds float32, the low byte first. The binary forms have a bit for each number, set if it is positive, eight
    to a byte with the first one highest; ``binary`` counts its bytes from -128.
    """
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    if encoding in ("int8", "uint8"):
        highest = max(map(abs, vector))
        return [round(number / highest * 127) + (128 if encoding == "uint8" else 0) for number in vector]
    if encoding in ("binary", "ubinary"):
        bits = "".join("1" if number > 0 else "0" for number in vector)
        packed = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]
        return packed if encoding == "ubinary" else [byte - 128 for byte in packed]
    return list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)))


def _noise(seed: bytes, count: int) -> list[int]:
    """Odd numbers from -255 to 255: added to what was multiplied by four, none of them gives zero."""
    return [2 * byte - 255 for byte in hashlib.shake_256(seed).digest(count)]
