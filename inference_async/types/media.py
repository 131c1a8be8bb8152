"""What kind of image or sound some bytes are, told from the bytes themselves: names of files are often wrong."""

from __future__ import annotations

import base64
from typing import Final

from ..errors import ConfigurationError

__all__ = ["MAX_MEDIA_BYTES", "audio_format", "data_url", "image_type", "in_base64"]

MAX_MEDIA_BYTES: Final = 20 * 1024 * 1024
"""What the service takes as one image at most; larger requests are refused by its gateways in any case."""


def image_type(data: bytes) -> str:
    """The media type of an image.

    Raises:
        ConfigurationError: it is no image of a kind that models read: PNG, JPEG, GIF, WebP, BMP, TIFF or HEIC.
    """
    data = _checked(data)
    for head, kind in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ):
        if data.startswith(head):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:2] == b"BM" and data[6:10] == bytes(4):  # reserved, and zero; words may begin with these letters too
        return "image/bmp"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        return "image/heic"
    raise ConfigurationError(f"got {_size(data)} that are no image, expected PNG, JPEG, GIF, WebP, BMP, TIFF or HEIC")


def audio_format(data: bytes) -> str:
    """The format of a sound: ``wav`` or ``mp3``, which are what the service takes.

    Raises:
        ConfigurationError: it is neither.
    """
    data = _checked(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    # An ID3 tag, or the sync word of an MPEG frame of layer III.
    if data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):
        return "mp3"
    raise ConfigurationError(f"got {_size(data)} that are neither WAV nor MP3; say format= if they are something else")


def data_url(data: bytes) -> str:
    """An image as a URL that holds it.

    Raises:
        ConfigurationError: it is no image.
    """
    return f"data:{image_type(data)};base64,{in_base64(data)}"


def in_base64(data: bytes) -> str:
    """Bytes as base64 text.

    Raises:
        ConfigurationError: they are no bytes.
    """
    return base64.b64encode(_checked(data)).decode("ascii")


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray):
        kind = type(data).__name__
        raise ConfigurationError(f"got an image or sound of type {kind}, expected bytes; load() reads files")
    return bytes(data)


def _size(data: bytes) -> str:
    return f"{len(data):,} bytes"
