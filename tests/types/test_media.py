"""What some bytes are: told from the bytes, whatever the file was called."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from inference_async.errors import ConfigurationError
from inference_async.types import AudioPart, ImageEmbeddingInput, ImagePart
from inference_async.types.media import MAX_MEDIA_BYTES, audio_format, data_url, image_type, in_base64

IMAGES: dict[str, tuple[bytes, str]] = {
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    "jpeg exif": (b"\xff\xd8\xff\xe1\0\x10Exif", "image/jpeg"),
    "gif 87a": (b"GIF87a\1\0", "image/gif"),
    "gif 89a": (b"GIF89a\1\0", "image/gif"),
    "webp": (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "image/bmp"),
    "tiff little-endian": (b"II*\0\x08\0", "image/tiff"),
    "tiff big-endian": (b"MM\0*\0\0", "image/tiff"),
    "heic": (b"\0\0\0\x18ftypheic\0\0", "image/heic"),
    "heix": (b"\0\0\0\x18ftypheix\0\0", "image/heic"),
    "heif": (b"\0\0\0\x18ftypmif1\0\0", "image/heic"),
}
NO_IMAGES: dict[str, bytes] = {
    "nothing": b"",
    "text": b"Hello",
    "pdf": b"%PDF-1.7",
    "half a png": b"\x89PNG\r\n\x1a",
    "a png behind a blank": b" \x89PNG\r\n\x1a\n",
    "gif of another year": b"GIF90a",
    "wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "riff cut short": b"RIFF\x24\0\0\0WEB",
    "mp4": b"\0\0\0\x18ftypisom",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}
SOUNDS: dict[str, tuple[bytes, str]] = {
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
    "mp3 with a tag": (b"ID3\x04\0", "mp3"),
    "mp3 mpeg 1": (b"\xff\xfb\x90\x64", "mp3"),
    "mp3 mpeg 1 with a checksum": (b"\xff\xfa\x90\x64", "mp3"),
    "mp3 mpeg 2": (b"\xff\xf3\x90\x64", "mp3"),
    "mp3 mpeg 2.5": (b"\xff\xe3\x90\x64", "mp3"),
}
NO_SOUNDS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"Hello",
    "one byte of a sync word": b"\xff",
    "jpeg": b"\xff\xd8\xff\xe0",
    "aac, layer 0": b"\xff\xf1\x50\x80",
    "mp2, layer II": b"\xff\xfd\x50\x80",
    "utf-16 text": b"\xff\xfeH\0",
    "ogg": b"OggS\0\2",
    "flac": b"fLaC",
    "webp": b"RIFF\x24\0\0\0WEBPVP8 ",
}


@pytest.mark.parametrize(("data", "expected"), IMAGES.values(), ids=IMAGES)
def test_image_type(data: bytes, expected: str) -> None:
    assert image_type(data) == expected
    assert image_type(bytes(bytearray(data))) == expected


@pytest.mark.parametrize("data", NO_IMAGES.values(), ids=NO_IMAGES)
def test_no_image(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"got {len(data)} bytes that are no image, expected PNG, JPEG"):
        image_type(data)
    with pytest.raises(ConfigurationError, match="no image"):
        data_url(data)


@pytest.mark.parametrize(("data", "expected"), SOUNDS.values(), ids=SOUNDS)
def test_audio_format(data: bytes, expected: str) -> None:
    assert audio_format(data) == expected


@pytest.mark.parametrize("data", NO_SOUNDS.values(), ids=NO_SOUNDS)
def test_no_sound(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"got {len(data)} bytes that are neither WAV nor MP3; say format="):
        audio_format(data)


def test_errors_do_not_quote_the_bytes() -> None:
    with pytest.raises(ConfigurationError) as caught:
        image_type(b"the secret plan" * 1000)
    assert "15,000 bytes" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_data_url() -> None:
    data = IMAGES["png"][0] + bytes(range(256))
    head, _, rest = data_url(data).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(rest, validate=True) == data


def test_base64_is_the_standard_alphabet_on_one_line() -> None:
    assert in_base64(b"\xfb\xff\xfe") == "+//+"
    assert "\n" not in in_base64(bytes(1000))
    assert in_base64(b"") == ""


def test_the_bound_is_that_of_the_service() -> None:
    assert MAX_MEDIA_BYTES == 20 * 2**20


@pytest.mark.parametrize("make", [ImagePart.from_bytes, AudioPart.from_bytes, ImageEmbeddingInput.from_bytes])
@pytest.mark.parametrize("given", ["a path", None, 5, ["x"]], ids=repr)
def test_what_is_no_bytes_is_refused(make: Any, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"of type {type(given).__name__}, expected bytes; load\\(\\) reads"):
        make(given)
