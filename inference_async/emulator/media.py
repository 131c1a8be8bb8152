"""Pictures and sound in a request: whether they are what they say, and how they are described."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..types.base import is_array, is_object
from .refusals import invalid

__all__ = ["Medium", "check_media", "data_of", "media_in"]

_DATA_URL: Final = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,(?P<data>.*)", re.DOTALL)
_KINDS: Final[Mapping[str, str]] = {"image_url": "image", "audio_url": "audio", "input_audio": "audio"}
_FORMATS: Final[Mapping[str, str]] = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class Medium(NamedTuple):
    """A picture or a sound.

    Attributes:
        kind: ``image`` or ``audio``.
        mime: its type, such as ``image/png``; empty where only an address is known.
        data: its bytes; empty where only an address is known.
        url: the address, if it has one.
    """

    kind: str
    mime: str = ""
    data: bytes = b""
    url: str = ""

    def __str__(self) -> str:
        return f"[{self.kind}: {self.url or f'{self.mime}, {len(self.data)} bytes'}]"


def check_media(messages: list[Any]) -> None:
    """Refuse pictures and sounds that are none.

    Raises:
        Refusal: 400, with the place of the part.
    """
    for place, part in _parts(messages):
        _read(part, place)


def media_in(message: Mapping[str, Any]) -> list[Medium]:
    """The pictures and sounds of a message that was checked."""
    return [_read(part, place) for place, part in _parts([message])]


def data_of(url: str) -> tuple[str, bytes] | None:
    """Type and bytes of a ``data:`` URL; None if it is none.

    Raises:
        ValueError: it is one, but its base64 is broken.
    """
    found = _DATA_URL.fullmatch(url)
    return (found["mime"], _bytes(found["data"])) if found else None


def _parts(messages: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, part in enumerate(content if is_array(content) else []):
            if part.get("type") in _KINDS:
                yield f"messages[{index}].content[{at}]", part


def _read(part: Mapping[str, Any], place: str) -> Medium:
    name: str = part["type"]
    kind = _KINDS[name]
    given = part.get(name)
    place = f"{place}.{name}"
    if not is_object(given):
        raise invalid(f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")
    try:
        if name == "input_audio":
            return _sound(given, place)
        url = given.get("url")
        found = data_of(url) if isinstance(url, str) else None
    except ValueError:
        raise invalid(f"Invalid base64 {name}.", param=place, code="invalid_base64") from None
    if found is not None and found[0].startswith(f"{kind}/"):
        return Medium(kind, *found)
    if isinstance(url, str) and re.match(r"https://[^\s/]", url):
        return Medium(kind, url=url)
    raise invalid(
        f"Invalid {kind} URL. The URL must be a valid HTTPS URL, or a data URL with base64 encoding.",
        param=place,
        code=f"invalid_{kind}_url",
    )


def _sound(given: Mapping[str, Any], place: str) -> Medium:
    mime = _FORMATS.get(str(given.get("format")))
    if mime is None:
        raise invalid("Invalid value: expected one of 'wav', 'mp3'.", param=f"{place}.format", code="invalid_value")
    data = given.get("data")
    return Medium("audio", mime, _bytes(data if isinstance(data, str) else "!"))


def _bytes(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if not data:
        raise ValueError("no data")
    return data
