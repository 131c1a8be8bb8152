"""Where two JSON values differ, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ..types.base import is_array, is_object

__all__ = ["differences"]

_LONGEST: Final = 60
_BEFORE: Final = 15
_DIGEST: Final = "sha256:"
_NOTHING: Final = object()


def differences(recorded: Any, sent: Any) -> list[str]:
    """A line for each place, such as ``messages[1].content: 'a' recorded, 'b' sent``.

    Long texts are cut to where they begin to differ; of texts that were replaced by digests, only the place is said.
    """
    return list(_differences("", recorded, sent))


def _differences(place: str, recorded: Any, sent: Any) -> Iterator[str]:
    if is_object(recorded) and is_object(sent):
        for name in sorted(recorded.keys() | sent.keys()):
            inside = f"{place}.{name}" if place else name
            yield from _differences(inside, recorded.get(name, _NOTHING), sent.get(name, _NOTHING))
    elif is_array(recorded) and is_array(sent):
        for index in range(max(len(recorded), len(sent))):
            pair = [rows[index] if index < len(rows) else _NOTHING for rows in (recorded, sent)]
            yield from _differences(f"{place}[{index}]", *pair)
    elif type(recorded) is not type(sent) or recorded != sent:
        yield f"{place or 'the body'}: {_words(recorded, sent)}"


def _words(recorded: Any, sent: Any) -> str:
    if isinstance(recorded, str) and isinstance(sent, str):
        if recorded.startswith(_DIGEST) and sent.startswith(_DIGEST):
            return "another text was recorded than was sent"
        same = next((at for at, pair in enumerate(zip(recorded, sent, strict=False)) if len(set(pair)) > 1), None)
        start = min(len(recorded), len(sent)) if same is None else same
        return f"{_cut(recorded, start)} recorded, {_cut(sent, start)} sent"
    return f"{_shown(recorded)} recorded, {_shown(sent)} sent"


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    if isinstance(value, str):
        return _cut(value, 0)
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _cut(text: str, at: int) -> str:
    """A text, or the part of it around a place."""
    if len(text) <= _LONGEST:
        return repr(text)
    start = max(0, at - _BEFORE)
    end = start + _LONGEST
    return f"{'…' if start else ''}{text[start:end]!r}{'…' if end < len(text) else ''}"
