"""Faults as values: how two make one, and what is sent of an answer."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import islice

import pytest

from inference_async.emulator import FAULTS, Asked, Fault, fault
from inference_async.emulator.behaviour import FINE, spoken
from inference_async.emulator.golden import DONE, completion, documents, dumped, event
from inference_async.errors import ConfigurationError

STREAM = Asked(body=b'{"stream":true}')
WHOLE = Asked(body=b"{}")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: request-golden\r\n"


def said(given: Fault | str, asked: Asked = STREAM) -> bytes:
    one = fault(given) if isinstance(given, str) else given
    return b"".join(piece for piece in spoken(one, asked).pieces if piece)


def test_the_good_stream_is_six_events_in_chunks() -> None:
    events = [*map(event, documents()), DONE]
    assert len(events) == 6
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events)
    assert said(FINE) == HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert spoken(FINE, STREAM).then == "keep"


def test_the_good_whole_has_a_length() -> None:
    body = dumped(completion())
    head, _, got = said(FINE, WHOLE).partition(b"\r\n\r\n")
    assert got == body
    assert head.endswith(
        b"content-type: application/json\r\nx-request-id: request-golden\r\ncontent-length: %d" % len(body)
    )


@pytest.mark.parametrize(
    ("place", "end"),
    [
        ("in-status", b"HTTP/1."),
        ("after-head", b"transfer-encoding: chunked\r\n\r\n"),
        ("between-events", event(documents()[2]) + b"\r\n"),
        ("before-end", DONE + b"\r\n"),
    ],
)
@pytest.mark.parametrize(("name", "then"), [("cut", "fin"), ("reset", "rst"), ("stall", "silence")])
def test_places(place: str, end: bytes, name: str, then: str) -> None:
    one = FAULTS[f"{name}-{place}"]
    assert said(FINE).startswith(said(one))
    assert said(one).endswith(end)
    assert spoken(one, STREAM).then == then


def test_in_a_chunk_and_in_an_event_differ_in_the_framing() -> None:
    third = event(documents()[2])
    half = len(third) // 2
    assert said("cut-in-event").endswith(b"\r\n%x\r\n%b\r\n" % (half, third[:half]))
    framed = b"%x\r\n%b\r\n" % (len(third), third)
    assert said("cut-in-chunk").endswith(b"\r\n" + framed[: len(framed) // 2])


def test_a_short_answer_stops_in_its_last_piece() -> None:
    whole, cut = (said(name, WHOLE) for name in ("status-404", "status-404+cut-in-chunk"))
    head, _, body = whole.partition(b"\r\n\r\n")
    assert cut == head + b"\r\n\r\n" + body[: len(body) // 2]
    assert said("empty-200+cut-in-chunk", WHOLE).endswith(b"content-length: 0\r\n\r\n")


def test_each_stage_is_taken_from_the_one_that_speaks_of_it() -> None:
    both = fault("gzip + cut-in-chunk + until-close + retry-seconds + bom")
    assert both.name == "gzip+cut-in-chunk+until-close+retry-seconds+bom"
    got = said(both)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 429 Too Many Requests"
    assert head.endswith(b"content-encoding: gzip\r\nconnection: close\r\nretry-after: 1")
    assert body == gzip.compress(b"")[:2] + body[2:]
    assert spoken(both, STREAM).then == "fin"
    assert said("bom+gzip+until-close") == said("gzip+until-close+bom"), "the order of stages is not that of names"


def test_the_later_one_counts_and_lines_and_changes_add_up() -> None:
    assert said("status-500+status-503") == said("status-503")
    assert said("stray-answer-first+stray-answer").endswith(said("stray-answer")[-100:])
    assert fault("stray-answer-first+bom").ahead == FAULTS["stray-answer-first"].ahead
    assert len(fault("retry-seconds+retry-ms").lines) == 2
    assert said("bom+crlf").partition(b"\r\n\r\n")[2].split(b"\r\n", 1)[1].startswith(b"\xef\xbb\xbfdata: ")
    assert b"\r\n\r\n\r\n" in said("bom+crlf")
    assert fault("status-413-early+bom").reads == "head"


def test_fine_adds_nothing() -> None:
    assert FAULTS["bom"] + FINE == FINE + FAULTS["bom"] == FAULTS["bom"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("silence+gzip", "with silence there is no answer"),
        ("bom+close-at-once", "with close-at-once there is no answer"),
        ("reset-unanswered+cut-in-chunk", "with reset-unanswered there is no answer"),
        ("whole-for-stream+stream-for-whole", "neither shows"),
        ("endless-events+length", "no length"),
        ("length-over+endless-text", "no length"),
        ("frob", "expected the name of a fault; `inference-async faults`"),
        ("gzip+", "got '', expected the name"),
    ],
)
def test_what_cannot_be(names: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        fault(names)


def test_a_fault_is_good_to_requests_it_is_not_for() -> None:
    assert said("crlf", WHOLE) == said(FINE, WHOLE)
    assert said("half-json", STREAM) == said(FINE, STREAM)


def test_what_drips_pauses_after_each_byte() -> None:
    pieces = list(spoken(FAULTS["drip-body"], STREAM).pieces)
    head, dripped = pieces[0], pieces[1:]
    assert head is not None
    assert dripped[1::2] == [None] * (len(dripped) // 2)
    assert all(piece is not None and len(piece) == 1 for piece in dripped[::2])
    assert head + b"".join(piece for piece in dripped if piece) == said(FINE)


def test_a_body_without_an_end_is_made_as_it_is_sent() -> None:
    made: list[int] = []

    def body(_asked: Asked) -> Iterator[bytes]:
        for number in range(10**9):
            made.append(number)
            yield b"x"

    pieces = spoken(Fault("long", "", "size", body=body, endless=True) + FAULTS["gzip"], WHOLE).pieces
    assert len(list(islice(pieces, 5))) == 5
    assert len(made) < 6


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"stream": 1}', b"{", b"\xff", b"[" * 100_000], ids=lambda body: repr(body)[:20]
)
def test_what_asks_for_no_stream(body: bytes) -> None:
    assert not Asked(body=body).stream


def test_the_credential_of_a_request() -> None:
    for headers in ({"authorization": "Bearer k"}, {"api-key": "k"}, {"ocp-apim-subscription-key": "k"}):
        echo = said("status-401-echo", Asked(headers=headers))
        assert echo.count(b"x-echo: k\r\n") == echo.count(b'error_description="k"') == echo.count(b"provided: k") == 1
