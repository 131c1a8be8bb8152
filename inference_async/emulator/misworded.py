"""Faults in what is said: streams that end wrongly, events and bodies that are no answer, JSON that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from .behaviour import Fault
from .bodies import Asked, Body, Change, as_asked, edited, events, fixed, replaced, stream, whole
from .framings import BODILESS, Piece, Pieces
from .golden import DONE, TEXT, chunk, completion, documents, dumped, event

__all__ = ["CONTENTS", "ENDINGS", "EVENTS", "JSON"]

_FIRST, _SECOND, _THIRD, _FINISH, _USAGE = documents()
_ERROR: Final = {"message": "The engine failed.", "type": "server_error", "param": None, "code": "engine_failed"}


def _each(change: Callable[[bytes], bytes]) -> Change:
    return lambda pieces: (piece if piece is None else change(piece) for piece in pieces)


def _first(change: Callable[[bytes], bytes]) -> Change:
    def changed(pieces: Pieces) -> Iterator[Piece]:
        first = True
        for piece in pieces:
            yield change(piece) if first and piece is not None else piece
            first = False

    return changed


def _last(change: Callable[[bytes], bytes]) -> Change:
    def changed(pieces: Pieces) -> Iterator[Piece]:
        held: list[Piece] = []
        for piece in pieces:
            yield from held
            held = [piece]
        yield from (piece if piece is None else change(piece) for piece in held)

    return changed


def _choices(index: int, text: str | None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return chunk(choices=[{"index": index, "delta": delta, "finish_reason": finish}])


_HALF: Final = event(_THIRD)[:-40]

_ENDINGS: Final[tuple[tuple[str, str, Body], ...]] = (
    (
        "unfinished",
        "the stream ends after the text, without a finish reason or [DONE]",
        events(*documents()[:3], done=False),
    ),
    ("no-done", "the stream ends after finish reason and usage, without [DONE]", events(*documents(), done=False)),
    ("no-finish", "[DONE] comes without a finish reason", events(*documents()[:3])),
    ("finish-empty", "the finish reason is an empty string", events(*documents()[:3], chunk(finish_reason=""), _USAGE)),
    (
        "finish-null-text",
        'the finish reason is the string "null"',
        events(*documents()[:3], chunk(finish_reason="null")),
    ),
    ("no-usage", "no usage", events(*documents()[:4])),
    ("no-events", "the stream has no events at all", events(done=False)),
    ("only-done", "the stream is nothing but [DONE]", events()),
    ("only-pings", "the stream is nothing but comments", events(b": ping\n\n", b": ping\n\n", done=False)),
    (
        "one-choice-unfinished",
        "one of two choices has no finish reason, and there is no [DONE]",
        events(_choices(0, "one"), _choices(1, "two"), _choices(0, None, "stop"), done=False),
    ),
    ("half-event", "the stream ends inside an event, after some text", events(*documents()[:2], _HALF, done=False)),
    (
        "half-event-after-finish",
        "the stream ends inside an event, after the finish reason",
        events(*documents()[:4], event(_USAGE)[:-40], done=False),
    ),
    ("done-twice", "[DONE] comes twice", events(*documents(), DONE)),
    ("events-after-done", "more text after [DONE]", events(*documents(), DONE, _SECOND, done=False)),
    ("text-after-finish", "more text after the finish reason", events(*documents()[:4], _SECOND)),
)

ENDINGS: Final = (
    *(Fault(name, summary, "ending", "stream", body=body) for name, summary, body in _ENDINGS),
    Fault(
        "finish-without-blank-line",
        "no blank line after the last event, which has the finish reason; no [DONE]",
        "ending",
        "stream",
        body=events(*documents()[:3], event(_FINISH)[:-1], done=False),
    ),
    Fault(
        "finish-without-newline",
        "no line end after the last event, which has the finish reason; no [DONE]",
        "ending",
        "stream",
        body=events(*documents()[:3], event(_FINISH)[:-2], done=False),
    ),
    Fault(
        "done-without-blank-line",
        "no blank line after [DONE]",
        "ending",
        "stream",
        changes=(_last(lambda piece: piece[:-1]),),
    ),
    Fault(
        "done-without-newline",
        "no line end after [DONE]",
        "ending",
        "stream",
        changes=(_last(lambda piece: piece[:-2]),),
    ),
)

_INSIDE: Final[tuple[tuple[str, str, object], ...]] = (
    ("error-object", "an error in the shape of the service", {"error": _ERROR}),
    ("error-text", "an error that is a string", {"error": "The engine failed."}),
    ("error-event", "an error in an event of that type", b"event: error\n" + event({"error": _ERROR})),
    ("error-event-flat", "an error in an event of that type, not under `error`", b"event: error\n" + event(_ERROR)),
    ("error-event-text", "an event of type error with plain text", b"event: error\ndata: The engine failed.\n\n"),
    (
        "error-in-chunk",
        "an error in a chunk whose choices finish with it",
        {**chunk("", "error"), "error": {"code": 502, "message": "Provider disconnected"}},
    ),
    (
        "error-glued",
        "a chunk and an error in one event",
        event(dumped(_SECOND) + dumped({"error": _ERROR})),
    ),
    ("error-null", "a chunk with an error that is null, so no error", {**_SECOND, "error": None}),
    ("glued-chunks", "two chunks in one event", event(dumped(_SECOND) + dumped(_THIRD))),
    ("bad-event", "an event that is not JSON", event(b'{"id":"chatcmpl-golden","choices":[{"index":0,')),
    ("text-event", "an event that is plain text", event(b"Gateway timeout")),
    ("html-event", "a page of HTML between the events", b"<html><body>Bad Gateway</body></html>\n\n"),
    (
        "unknown-event",
        "an event of an unknown type",
        b'event: ping\ndata: {"type":"ping"}\n\n' + event(_SECOND),
    ),
    ("unnamed-field", "lines with unknown fields", b"frob: 1\nfrob\n" + event(_SECOND)),
    ("id-and-retry", "the lines `id:` and `retry:`", b"id: 7\nretry: 10\n" + event(_SECOND)),
    ("bare-data", "an empty `data:`", b"data:\n\ndata\n\n" + event(_SECOND)),
    ("no-space", "no space after `data:`", event(_SECOND).replace(b"data: ", b"data:")),
    ("data-lines", "one JSON over several lines of data", event(_SECOND).replace(b',"', b',\ndata: "')),
    ("null-event", "an event that is null", None),
    ("list-event", "an event that is a list", [1]),
    ("string-event", "an event that is a string", "text"),
    ("number-event", "an event that is a number", 42),
    ("empty-event", "an event that is an empty object", {}),
    ("delta-null", "a delta that is null", chunk(choices=[{"index": 0, "delta": None, "finish_reason": None}])),
    ("delta-missing", "a choice without a delta", chunk(choices=[{"index": 0, "finish_reason": None}])),
    ("index-null", "a choice without an index", chunk(choices=[{"index": None, "delta": {"content": " aus"}}])),
    ("index-negative", "a choice with the index -1", _choices(-1, " aus", "stop")),
    ("index-huge", "a choice with the index 2**62", _choices(2**62, " aus", "stop")),
    ("choices-empty", "an empty list of choices, as content safety sends it", chunk(choices=[])),
)


def _event(said: object) -> Body:
    if isinstance(said, bytes):
        return events(_FIRST, said, *documents()[2:])
    return events(_FIRST, event(said), *documents()[2:])


EVENTS: Final = (
    *(Fault(name, summary, "event", "stream", body=_event(said)) for name, summary, said in _INSIDE),
    Fault(
        "error-at-end",
        "an error instead of the end, and no [DONE]",
        "event",
        "stream",
        body=events(*documents()[:3], {"error": _ERROR}, done=False),
    ),
    Fault("error-first", "an error before any text", "event", "stream", body=events({"error": _ERROR})),
    Fault(
        "error-event-first",
        "an error in an event of that type, before any text",
        "event",
        "stream",
        body=events(b"event: error\n" + event({"error": _ERROR})),
    ),
    Fault(
        "error-after-finish",
        "an error after the finish reason",
        "event",
        "stream",
        body=events(*documents()[:4], {"error": _ERROR}),
    ),
    Fault(
        "crlf", "lines end with CR LF", "event", "stream", changes=(_each(lambda piece: piece.replace(b"\n", b"\r\n")),)
    ),
    Fault(
        "cr", "lines end with CR alone", "event", "stream", changes=(_each(lambda piece: piece.replace(b"\n", b"\r")),)
    ),
    Fault(
        "bom", "a byte order mark at the beginning", "event", changes=(_first(lambda piece: b"\xef\xbb\xbf" + piece),)
    ),
)


def _shaped(make: Callable[[str], object]) -> Body:
    """A document made with the name of what a choice holds: the second event of a stream, or the whole."""
    return as_asked(replaced(make("delta")), fixed(make("message")))


def _choice(**fields: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-golden", "choices": [{"index": 0, "finish_reason": "stop", **fields}]}


_SHAPES: Final[tuple[tuple[str, str, Callable[[str], object]], ...]] = (
    ("shape-null", "null instead of an answer", lambda name: None),
    ("shape-list", "a list instead of an answer", lambda name: [{"id": "chatcmpl-golden"}]),
    ("shape-string", "a string instead of an answer", lambda name: TEXT),
    ("shape-number", "a number instead of an answer", lambda name: 42),
    ("shape-bool", "true instead of an answer", lambda name: True),
    ("shape-other", "an object of another service", lambda name: {"status": "ok"}),
    ("choices-null", "choices are null", lambda name: {"id": "chatcmpl-golden", "choices": None}),
    ("choices-string", "choices are a string", lambda name: {"choices": "none"}),
    ("choices-number", "choices are a number", lambda name: {"choices": 1}),
    ("choices-object", "choices are an object", lambda name: {"choices": {"0": {name: {"content": TEXT}}}}),
    ("choice-null", "a choice is null", lambda name: {"choices": [None]}),
    ("choice-string", "a choice is a string", lambda name: {"choices": [TEXT]}),
    ("message-string", "the message is a string", lambda name: _choice(**{name: TEXT})),
    ("message-list", "the message is a list", lambda name: _choice(**{name: [TEXT]})),
    ("content-number", "the text is a number", lambda name: _choice(**{name: {"content": 42}})),
    ("content-object", "the text is an object", lambda name: _choice(**{name: {"content": {"text": TEXT}}})),
    ("calls-string", "the tool calls are a string", lambda name: _choice(**{name: {"tool_calls": "none"}})),
    (
        "finish-number",
        "the finish reason is a number",
        lambda name: _choice(**{name: {"content": "x"}, "finish_reason": 1}),
    ),
    ("usage-string", "the usage is a string", lambda name: {**_choice(**{name: {"content": "x"}}), "usage": "much"}),
    (
        "index-string",
        "the index of a choice is a string",
        lambda name: _choice(**{name: {"content": "x"}, "index": "0"}),
    ),
)


def _halved_json(_asked: Asked) -> Pieces:
    body = dumped(completion())
    return (body[: len(body) // 2],)


_HTML: Final = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to continue.</body></html>\n"

CONTENTS: Final = (
    Fault("html-200", "a page of HTML, with 200", "content", media="text/html", body=fixed(_HTML)),
    Fault(
        "html-as-answer", "a page of HTML with the content type of an answer, with 200", "content", body=fixed(_HTML)
    ),
    Fault("text-200", "plain text, with 200", "content", media="text/plain", body=fixed(b"OK\n")),
    Fault("empty-200", "a body of no bytes, with 200", "content", body=fixed(b"")),
    Fault("bodiless-200", "200, without a body or headers about one", "content", framing=BODILESS, then="fin"),
    Fault(
        "whole-for-stream",
        "a whole answer, although a stream was asked for",
        "content",
        "stream",
        media="application/json",
        body=whole,
    ),
    Fault(
        "stream-for-whole",
        "a stream, although a whole answer was asked for",
        "content",
        "whole",
        media="text/event-stream",
        body=stream,
    ),
    Fault("stream-as-json", "a stream with the content type of JSON", "content", "stream", media="application/json"),
    Fault("stream-as-text", "a stream with the content type of plain text", "content", "stream", media="text/plain"),
    Fault("whole-as-text", "JSON with the content type of plain text", "content", "whole", media="text/plain"),
    Fault("unlabelled", "no content type", "content", media=""),
    Fault("media-garbage", "an invalid content type", "content", media=";;;/"),
    Fault(
        "media-latin-1",
        "UTF-8 with the charset latin-1",
        "content",
        "stream",
        media="text/event-stream; charset=latin-1",
    ),
    Fault("half-json", "half of the JSON, with a content length that fits", "content", "whole", body=_halved_json),
    Fault("message-missing", "a choice without a message", "content", "whole", body=fixed(_choice())),
    Fault("message-null", "a message that is null", "content", "whole", body=fixed(_choice(message=None))),
    Fault("choices-none", "no choices in a whole answer", "content", "whole", body=fixed(completion(choices=[]))),
    *(Fault(name, summary, "content", body=_shaped(make)) for name, summary, make in _SHAPES),
)

_DEEP: Final = 100_000
_AT: Final = b'"object":'
_EDITS: Final[tuple[tuple[str, str, bytes, bytes], ...]] = (
    ("invalid-utf-8", "bytes in the text that are not UTF-8", b" aus", b" a\xff\xfes"),
    ("cut-utf-8", "a character in the text with a missing byte", b" aus", b" a\xc3s"),
    ("surrogate-bytes", "a lone surrogate in the text, as bytes", b" aus", b" a\xed\xa0\xbds"),
    ("lone-surrogate", "a lone surrogate in the text, escaped", b" aus", b" a\\ud83ds"),
    ("control-character", "a control character in the text, unescaped", b" aus", b" a\x01s"),
    ("nul", "a NUL in the text, escaped", b" aus", b" a\\u0000s"),
    ("bad-escape", "an invalid escape in the text", b" aus", b" a\\xs"),
    ("nan", "a number that is NaN", _AT, b'"n":NaN,"object":'),
    ("infinity", "a number that is Infinity", _AT, b'"n":-Infinity,"object":'),
    ("nan-created", "a known field that is NaN", b"1700000000", b"NaN"),
    ("overflow", "a number that is 1e999", b"1700000000", b"1e999"),
    ("huge-integer", "a number of 100,000 digits", b"1700000000", b"9" * 100_000),
    ("leading-zero", "a number with a leading 0", b"1700000000", b"01700000000"),
    ("float-created", "a float instead of an integer", b"1700000000", b"1700000000.5"),
    ("duplicate-keys", "the same key twice", _AT, b'"choices":[],"object":'),
    ("trailing-comma", "a comma before a closing bracket", b"}]", b"},]"),
    ("comment", "a comment", _AT, b'/* frob */"object":'),
    ("single-quotes", "single quotes", b'"object"', b"'object'"),
    ("python-none", "None instead of null", _AT, b'"n":None,"object":'),
    ("deep-lists", "lists nested 100,000 deep", _AT, b'"n":' + b"[" * _DEEP + b"]" * _DEEP + b',"object":'),
    (
        "deep-objects",
        "objects nested 100,000 deep",
        _AT,
        b'"n":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b',"object":',
    ),
    ("deep-unclosed", "lists nested 100,000 deep, and never closed", _AT, b'"n":' + b"[" * _DEEP + b',"object":'),
    ("unknown-fields", "unknown fields", _AT, b'"frob":{"a":[1]},"object":'),
)

JSON: Final = tuple(Fault(name, summary, "json", body=edited(old, new)) for name, summary, old, new in _EDITS)
