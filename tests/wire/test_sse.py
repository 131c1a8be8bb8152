"""The event decoder against the WHATWG standard, in every slicing, and within its bounds.

The cases are data (tests/conformance/sse.json), written from the standard and not from the decoder. In a case,
an absent `retry` means that none is in force at the end, an absent `last_event_id` that it is empty. Both are the
standard's values once the stream has ended: what an unterminated line or an undispatched block says is discarded.
`unfinished` is beyond the standard: the block that the stream's end has cut off, its last line taken as a whole line.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Never, Self, SupportsIndex

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference_async.errors import EventTooLargeError, StreamError
from inference_async.wire.sse import (
    DEFAULT_MAX_EVENT_BYTES,
    EventDecoder,
    ServerSentEvent,
    encode_comment,
    encode_event,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# ---------------------------------------------------------------------------------------------------------------------
# Conformance cases


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    data: str
    event: str = "message"
    id: str = ""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    events: list[Event]
    input: str | None = None
    input_hex: str | None = None
    retry: int | None = None
    last_event_id: str = ""
    unfinished: Event | None = None

    @property
    def raw(self) -> bytes:
        if self.input_hex is not None:
            return bytes.fromhex(self.input_hex)
        assert self.input is not None, f"{self.name}: neither input nor input_hex"
        return self.input.encode()


class Outcome(NamedTuple):
    events: list[Event]
    unfinished: Event | None
    retry: int | None
    last_event_id: str


CASES: Final = msgspec.json.decode(
    (Path(__file__).parent.parent / "conformance" / "sse.json").read_bytes(), type=list[Case]
)
ALL_SPLITS_UP_TO: Final = 200

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


def seen(event: ServerSentEvent) -> Event:
    return Event(event.text, event.event, event.id)


def decode(pieces: Sequence[bytes]) -> Outcome:
    decoder = EventDecoder()
    events = [seen(event) for piece in pieces for event in decoder.feed(piece)]
    rest = decoder.close()
    return Outcome(events, None if rest is None else seen(rest), decoder.retry, decoder.last_event_id)


def cut(raw: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Slice at the positions; one that occurs twice makes an empty piece."""
    edges = [0, *sorted(min(at, len(raw)) for at in cuts), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


def single_bytes(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


def cut_positions(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, length), max_size=12)


def check(case: Case, pieces: Sequence[bytes]) -> None:
    expected = Outcome(case.events, case.unfinished, case.retry, case.last_event_id)
    assert decode(pieces) == expected, f"{case.name}, fed as {pieces!r}"


def test_cases_are_well_formed() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names), "two cases share a name"
    raws = [case.raw for case in CASES]
    assert len(set(raws)) == len(raws), "two cases share an input"
    for case in CASES:
        assert (case.input is None) != (case.input_hex is None), f"{case.name}: exactly one kind of input"


@each_case
def test_case_whole(case: Case) -> None:
    check(case, [case.raw])


@each_case
def test_case_byte_by_byte(case: Case) -> None:
    check(case, single_bytes(case.raw))
    check(case, [piece for byte in single_bytes(case.raw) for piece in (b"", byte, b"")])


@each_case
def test_case_in_every_two_pieces(case: Case) -> None:
    raw = case.raw
    step = 1 + len(raw) // ALL_SPLITS_UP_TO
    for at in range(0, len(raw) + 1, step):
        check(case, [raw[:at], raw[at:]])


@each_case
@given(data=st.data())
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_case_in_random_pieces(case: Case, data: st.DataObject) -> None:
    raw = case.raw
    check(case, cut(raw, data.draw(cut_positions(len(raw)), label="cuts")))


# ---------------------------------------------------------------------------------------------------------------------
# A slow decoder, straight from the standard's text


class Reference:
    """Sections 9.2.5 and 9.2.6 of the HTML standard, one step after the other, on the whole stream at once.

    `limit` is ours: the length of a line, and of the data of one event. It counts characters, so it is only to be
    used with ASCII.
    """

    def __init__(self, raw: bytes, limit: int | None = None) -> None:
        self.limit = limit
        self.too_large = False
        self.events: list[Event] = []
        self.unfinished: Event | None = None
        self.retry: int | None = None
        self.data_buffer = ""
        self.event_type_buffer = ""
        self.last_event_id_buffer = ""
        self.last_event_id = ""  # the event source's own: it is set when a block ends
        text = raw.decode("utf-8", "replace")
        if text[:1] == "\ufeff":
            text = text[1:]
        self.interpret(text)

    def interpret(self, text: str) -> None:
        line = ""
        at = 0
        while at < len(text):
            if text[at] not in "\r\n":
                line += text[at]
                if self.over(len(line)):
                    return
                at += 1
                continue
            at += 2 if text[at : at + 2] == "\r\n" else 1
            if line == "":
                self.dispatch()
            else:
                self.process(line)
                if self.over(len(self.data_buffer) - 1):
                    return
            line = ""
        # The stream has ended. The standard discards what is pending; `close` hands it out.
        # Of a line that has not ended only data and event are believed: half an id would be another one.
        if line.startswith(("data", "event")):
            self.process(line)
        if self.data_buffer:
            self.unfinished = self.pending()

    def over(self, length: int) -> bool:
        self.too_large = self.limit is not None and length > self.limit
        return self.too_large

    def process(self, line: str) -> None:
        if line[0] == ":":
            return
        if ":" in line:
            colon = line.index(":")
            field, value = line[:colon], line[colon + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
        else:
            field, value = line, ""
        if field == "event":
            self.event_type_buffer = value
        elif field == "data":
            self.data_buffer += value + "\n"
        elif field == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        elif field == "retry" and value != "" and all(character in "0123456789" for character in value):
            self.retry = int(value)

    def dispatch(self) -> None:
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer != "":
            self.events.append(self.pending())
        self.data_buffer = ""
        self.event_type_buffer = ""

    def pending(self) -> Event:
        data = self.data_buffer[:-1] if self.data_buffer[-1] == "\n" else self.data_buffer
        return Event(data, self.event_type_buffer or "message", self.last_event_id_buffer)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_reference_agrees_with_the_cases(case: Case) -> None:
    reference = Reference(case.raw)
    outcome = Outcome(reference.events, reference.unfinished, reference.retry, reference.last_event_id)
    assert outcome == Outcome(case.events, case.unfinished, case.retry, case.last_event_id), case.name


PLAIN: Final = [b"data: {}\n\n", b"data: a\n\n", b"data: \n\n", b'data: {"x":"\xc3\xa9"}\n\n', b"data: [DONE]\n\n"]
ASCII_TOKENS: Final = [
    b"data: ",
    b"data:",
    b"data",
    b"\ndata: ",
    b"\n\ndata: ",
    b":",
    b": ping",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\r\n\r\n",
    b"id: 1",
    b"id: 2\n",
    b"id",
    b"id: \x00",
    b"event: x",
    b"event: y\n",
    b"event",
    b"retry: 5",
    b"retry: 1_0",
    b"retry: 8\n",
    b"{}",
    b"x",
    b"\x0b",
    b"\x1c",
    b"\x00",
]
BYTE_TOKENS: Final = [
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
]


def soup(tokens: list[bytes], *, max_size: int = 30) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(tokens), max_size=max_size).map(b"".join)


def differ(raw: bytes, pieces: Sequence[bytes]) -> None:
    reference = Reference(raw)
    decoder = EventDecoder()
    events = [seen(event) for piece in pieces for event in decoder.feed(piece)]
    assert events == reference.events, f"fed as {pieces!r}"
    assert decoder.retry == reference.retry, f"fed as {pieces!r}"
    assert decoder.last_event_id == reference.last_event_id, f"fed as {pieces!r}"
    rest = decoder.close()
    assert (None if rest is None else seen(rest)) == reference.unfinished, f"fed as {pieces!r}"
    assert decoder.close() is None, "a second close must find nothing"


@given(raw=soup(ASCII_TOKENS + BYTE_TOKENS), cuts=cut_positions(200))
@settings(deadline=None, max_examples=700, suppress_health_check=[HealthCheck.too_slow])
@example(raw=b"data: a\r\n\r\ndata: b\r\n\r\n", cuts=[8, 10])
@example(raw=b"\xef\xbb\xbfdata: a\n\n", cuts=[1, 2])
def test_soup_as_the_reference(raw: bytes, cuts: list[int]) -> None:
    differ(raw, cut(raw, cuts))
    differ(raw, [raw])
    differ(raw, single_bytes(raw))


@given(
    runs=st.lists(
        st.one_of(
            st.lists(st.sampled_from(PLAIN), min_size=1, max_size=8).map(b"".join),
            soup(ASCII_TOKENS + BYTE_TOKENS, max_size=3),
        ),
        max_size=6,
    ),
    cuts=cut_positions(300),
)
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@example(runs=[b"data: a\n\ndata: b\n\n", b"\n", b"data: c\n\n"], cuts=[])
@example(runs=[b"data: a\n\n", b"event: x\n", b"data: b\n\ndata: c\n\n"], cuts=[18])
@example(runs=[b"data: a\n\n", b"data: b\n", b"data: c\n\ndata: d\n\n"], cuts=[17])
@example(runs=[b"id: 1\n", b"data: a\n\ndata: b\n\n", b"data"], cuts=[6])
def test_plain_blocks_amid_soup_as_the_reference(runs: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(runs)
    differ(raw, cut(raw, cuts))
    differ(raw, runs)
    differ(raw, [raw])


@pytest.mark.parametrize("token", ASCII_TOKENS + BYTE_TOKENS, ids=repr)
def test_every_token_next_to_plain_blocks_as_the_reference(token: bytes) -> None:
    plain = b"data: a\n\ndata: b\n\n"
    for raw in (token + plain, plain + token, plain + token + plain, plain[:-1] + token + plain, plain[:3] + token):
        for at in range(len(raw) + 1):
            differ(raw, [raw[:at], raw[at:]])


# ---------------------------------------------------------------------------------------------------------------------
# Bounds

BOUND: Final = 64
SLICINGS: Final = [1, 2, 3, 7, BOUND - 1, BOUND, BOUND + 1, 10_000]


class Bounded(NamedTuple):
    events: list[bytes]
    error: EventTooLargeError | None
    decoder: EventDecoder


def feed_bounded(pieces: Sequence[bytes], bound: int = BOUND) -> Bounded:
    """Feed up to the error, if there is one; the events of earlier feeds come before the error's own."""
    decoder = EventDecoder(max_event_bytes=bound)
    events: list[bytes] = []
    for piece in pieces:
        try:
            events += [event.data for event in decoder.feed(piece)]
        except EventTooLargeError as error:
            return Bounded(events + [event.data for event in decoder.whole], error, decoder)
    return Bounded(events, None, decoder)


def every(raw: bytes, size: int) -> list[bytes]:
    return [raw[i : i + size] for i in range(0, len(raw), size)]


def payload(prefix: bytes, over: int) -> bytes:
    """A line that is that many bytes over the bound."""
    return prefix + b"x" * (BOUND + over - len(prefix))


AT_THE_BOUND: Final = {
    "plain-line": payload(b"data: ", 0) + b"\n\n",
    "unspaced-line": payload(b"data:", 0) + b"\n\n",
    "crlf": payload(b"data: ", 0) + b"\r\n\r\n",
    "cr": payload(b"data: ", 0) + b"\r\r",
    "comment": payload(b":", 0) + b"\n\n",
    "unknown-field": payload(b"x: ", 0) + b"\n\n",
    "line-without-end": payload(b"data: ", 0),
    "two-data-lines": b"data: " + b"x" * 31 + b"\ndata: " + b"y" * 32 + b"\n\n",
    "empty-data-lines": b"data\n" * (BOUND + 1) + b"\n",
    "bom-and-plain-line": b"\xef\xbb\xbf" + payload(b"data: ", 0) + b"\n\n",
    "many-events": (payload(b"data: ", 0) + b"\n\n") * 5,
    "many-comments": (payload(b": ", 0) + b"\n") * 5,
}
OVER_THE_BOUND: Final = {
    "plain-line": payload(b"data: ", 1) + b"\n\n",
    "unspaced-line": payload(b"data:", 1) + b"\n\n",
    "crlf": payload(b"data: ", 1) + b"\r\n\r\n",
    "cr": payload(b"data: ", 1) + b"\r\r",
    "comment": payload(b":", 1) + b"\n\n",
    "unknown-field": payload(b"x: ", 1) + b"\n\n",
    "event-name": payload(b"event: ", 1) + b"\ndata: a\n\n",
    "id": payload(b"id: ", 1) + b"\ndata: a\n\n",
    "retry": b"retry: " + b"1" * BOUND + b"\n\n",
    "line-without-end": payload(b"data: ", 1),
    "comment-without-end": payload(b":", 1),
    "no-field-and-no-end": b"x" * (BOUND + 1),
    "two-data-lines": b"data: " + b"x" * 32 + b"\ndata: " + b"y" * 32 + b"\n\n",
    "many-data-lines": b"data: 0123456789\n" * 6 + b"\n",
    "many-data-lines-without-blank-line": b"data: 0123456789\n" * 6,
    "many-data-lines-crlf": b"data: 0123456789\r\n" * 6 + b"\r\n",
    "empty-data-lines": b"data\n" * (BOUND + 2) + b"\n",
    "comments-between-data-lines": b"data: 0123456789\n: ping\n" * 6 + b"\n",
    "far-over": payload(b"data: ", 50 * BOUND) + b"\n\n",
}
EARLIER: Final = {
    "nothing": (b"", []),
    "bom": (b"\xef\xbb\xbf", []),
    "plain-events": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "plain-events-crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "named-event": (b"event: x\ndata: a\n\n: ping\n\n", [b"a"]),
}
each_earlier = pytest.mark.parametrize(("earlier", "events"), EARLIER.values(), ids=EARLIER)


def test_default_bound_is_sixteen_mebibytes() -> None:
    assert DEFAULT_MAX_EVENT_BYTES == 16 * 1024 * 1024


@pytest.mark.parametrize("raw", AT_THE_BOUND.values(), ids=AT_THE_BOUND)
def test_at_the_bound_passes(raw: bytes) -> None:
    for size in SLICINGS:
        result = feed_bounded(every(raw, size))
        assert result.error is None, f"raised in pieces of {size}"
        assert result.events == [event.data.encode() for event in Reference(raw).events], f"in pieces of {size}"


@each_earlier
@pytest.mark.parametrize("raw", OVER_THE_BOUND.values(), ids=OVER_THE_BOUND)
def test_over_the_bound_raises_with_the_earlier_events(raw: bytes, earlier: bytes, events: list[bytes]) -> None:
    for size in SLICINGS:
        result = feed_bounded(every(earlier + raw, size))
        assert result.error is not None, f"did not raise in pieces of {size}"
        assert isinstance(result.error, StreamError)
        assert result.events == events, f"lost or added events in pieces of {size}"
        assert f"{BOUND:,}" in str(result.error), "the message names the bound"


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        pytest.param(payload(b"data: ", 0), True, id="line at the bound"),
        pytest.param(b"data: " + b"x" * 32 + b"\ndata: " + b"y" * 31, True, id="data at the bound"),
        pytest.param(b"data: " + b"x" * 32 + b"\ndata: " + b"y" * 32, False, id="data over it"),
    ],
)
def test_the_bound_holds_for_the_event_that_was_left_unfinished(raw: bytes, passes: bool) -> None:
    decoder = EventDecoder(max_event_bytes=BOUND)
    assert decoder.feed(raw) == []
    if passes:
        assert decoder.close() is not None
    else:
        with pytest.raises(EventTooLargeError):
            decoder.close()


def test_earlier_events_of_the_failing_feed_are_kept_by_the_decoder() -> None:
    decoder = EventDecoder(max_event_bytes=BOUND)
    assert decoder.whole == []
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"data: a\n\n" + payload(b"data: ", 1) + b"\n\ndata: never\n\n")
    assert [event.data for event in decoder.whole] == [b"a"]


def test_line_that_never_ends_raises_as_soon_as_it_is_over() -> None:
    decoder = EventDecoder(max_event_bytes=BOUND)
    for _ in range(BOUND):
        assert decoder.feed(b"x") == []
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"x")


def test_event_that_never_ends_raises_as_soon_as_it_is_over() -> None:
    decoder = EventDecoder(max_event_bytes=BOUND)
    for _ in range(BOUND + 1):  # that many empty data lines have BOUND joins
        assert decoder.feed(b"data\n") == []
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"data\n")


@pytest.mark.parametrize("after", [b"", b"\n\n", b"data: a\n\n", b"\n\ndata: a\n\n", b"x"], ids=repr)
@pytest.mark.parametrize("raw", OVER_THE_BOUND.values(), ids=OVER_THE_BOUND)
def test_after_the_error_the_decoder_refuses(raw: bytes, after: bytes) -> None:
    result = feed_bounded([b"data: a\n\n" + raw])
    assert result.error is not None
    for _ in range(2):
        with pytest.raises(EventTooLargeError):
            result.decoder.feed(after)
        assert result.decoder.whole == [], "the earlier events are handed out once"
    assert result.decoder.close() is None, "nothing of the refused event comes out of close"


@given(
    raw=soup([*ASCII_TOKENS, b"data: a\n\n", b"data: " + b"y" * 6, b"z" * 9]), bound=st.integers(8, 40), data=st.data()
)
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_bounded_soup_as_the_reference(raw: bytes, bound: int, data: st.DataObject) -> None:
    reference = Reference(raw, bound)
    for pieces in ([raw], single_bytes(raw), cut(raw, data.draw(cut_positions(len(raw)), label="cuts"))):
        result = feed_bounded(pieces, bound)
        assert (result.error is not None) == reference.too_large, f"bound {bound}, fed as {pieces!r}"
        assert result.events == [event.data.encode() for event in reference.events], f"bound {bound}, {pieces!r}"


def test_small_events_are_not_summed_up() -> None:
    result = feed_bounded([b"data: 0123456789\n\n" * 1000, b"data: 0123456789\r\n\r\n" * 1000])
    assert result.error is None
    assert result.events == [b"0123456789"] * 2000


# ---------------------------------------------------------------------------------------------------------------------
# Cost: a byte is worked on a fixed number of times, however it arrives

MIB: Final = 1024 * 1024
LINES_PEAK: Final = 3.5  # the data lines, the data they are joined to
LINE_PEAK: Final = 5.5  # the unfinished line, the read it ends in, the line, its value with and without the space


class Meter(bytearray):
    """A line buffer that counts the bytes put into it, and those that any reading of it goes through."""

    written = 0
    read = 0

    def __iadd__(self, other: Buffer, /) -> Self:  # type: ignore[override]
        self.written += len(memoryview(other))
        return super().__iadd__(other)

    def __bytes__(self) -> bytes:
        self.read += len(self)
        return bytes(memoryview(self))

    def __getattribute__(self, name: str) -> object:
        if name in {"find", "rfind", "index", "rindex", "count", "split", "splitlines", "partition", "decode", "copy"}:
            raise AssertionError(f"the unfinished line was gone through by {name}, at a cost that is not counted")
        return super().__getattribute__(name)

    def __contains__(self, key: SupportsIndex | Buffer, /) -> bool:  # type: ignore[override]
        self.read += len(self)
        return super().__contains__(key)

    def __getitem__(self, key: object, /) -> Never:
        raise AssertionError(f"the unfinished line was sliced by {key}, at a cost that is not counted")

    def __add__(self, other: Buffer, /) -> bytearray:
        self.read += len(self)
        return super().__add__(other)


LONG_EVENTS: Final = {
    "one-line": (b"data: " + b"0123456789abcdef" * 4096 + b"\n\n", 1),
    "one-line-crlf": (b"data: " + b"0123456789abcdef" * 4096 + b"\r\n\r\n", 1),
    "many-lines": (b"data: 0123456789abcdef\n" * 4096 + b"\n", 1),
    "many-events": (b"data: 0123456789abcdef\n\n" * 4096, 4096),
    "one-comment": (b": " + b"0123456789abcdef" * 4096 + b"\n\n", 0),
    "many-comments": (b": ping\n\n" * 8192, 0),
    "no-line-end": (b"0123456789abcdef" * 4096, 0),
    "blank-lines": (b"\n" * 65536, 0),
}


@pytest.mark.parametrize("size", [1, 2, 5, 4096])
@pytest.mark.parametrize(("raw", "count"), LONG_EVENTS.values(), ids=LONG_EVENTS)
def test_each_byte_is_buffered_once_and_read_once(
    raw: bytes, count: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This looks at the decoder's parts, for operations must be counted and not timed.

    The line buffer is replaced by one that counts, and what goes to the line reader is summed up. Had the decoder to
    go through the unfinished line, or through the unfinished event, at every feed, the sums would be thousands of
    times the input.
    """
    split = 0
    read_lines = EventDecoder._read_lines

    def count_and_read(self: EventDecoder, data: bytes, events: list[ServerSentEvent]) -> None:
        nonlocal split
        split += len(data)
        read_lines(self, data, events)

    monkeypatch.setattr(EventDecoder, "_read_lines", count_and_read)
    decoder = EventDecoder()
    meter = Meter()
    decoder._line = meter
    events = [event for piece in every(raw, size) for event in decoder.feed(piece)]
    assert len(events) == count
    assert decoder._line is meter, "the counting buffer was replaced: the counts below mean nothing"
    assert meter.written <= len(raw), "a byte was put into the line buffer more than once"
    assert meter.read <= len(raw), "a byte was taken from the line buffer more than once"
    assert split <= 2 * len(raw), "a byte was split into lines more than once"


PLAIN_READS: Final = {
    "one-block": (b"data: {}\n\n", 0),
    "many-blocks": (b"data: {}\n\n" * 50, 0),  # all of them together are over the bound
    "a-block-at-the-bound": (payload(b"data: ", 0) + b"\n\n", 0),
    "the-next-block-begun": (b"data: {}\n\ndata: {}\n\ndata: {", 7),
    "the-next-block-not-ended": (b"data: {}\n\ndata: {}\n\ndata: {}\n", 9),
    "after-an-id": (b"id: 1\n\n", 7),
    "several-data-lines": (b"data: a\ndata: b\n\n", 17),
    "crlf": (b"data: {}\r\n\r\n", 12),
}


@pytest.mark.parametrize(("raw", "by_line"), PLAIN_READS.values(), ids=PLAIN_READS)
def test_plain_blocks_are_not_read_line_by_line(raw: bytes, by_line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed, told by counting: what model servers send is cut at its blank lines, and only the rest is looked at."""
    seen = 0
    read_lines = EventDecoder._read_lines

    def count_and_read(self: EventDecoder, data: bytes, events: list[ServerSentEvent]) -> None:
        nonlocal seen
        seen += len(data)
        read_lines(self, data, events)

    monkeypatch.setattr(EventDecoder, "_read_lines", count_and_read)
    events = EventDecoder(max_event_bytes=BOUND).feed(raw)
    assert seen == by_line
    assert [event.data.decode() for event in events] == [event.data for event in Reference(raw).events]


def test_event_of_four_mebibytes_in_single_bytes() -> None:
    """A decoder that goes through its buffer at each feed would not come to an end here."""
    text = (bytes(range(0x20, 0x7F)) * (4 * MIB // 95 + 1))[: 4 * MIB]
    raw = b"data: " + text + b"\n\n"
    decoder = EventDecoder(max_event_bytes=len(raw))
    byte = [bytes([value]) for value in range(256)]
    events = list(itertools.chain.from_iterable(map(decoder.feed, map(byte.__getitem__, raw))))
    assert len(events) == 1
    assert events[0].data == text
    assert decoder.close() is None


def peak_memory(raw: bytes, size: int) -> tuple[int, list[ServerSentEvent]]:
    """The most that decoding held at a time, the input not counted, and the events."""
    decoder = EventDecoder(max_event_bytes=len(raw))
    events: list[ServerSentEvent] = []
    tracemalloc.start()
    try:
        for at in range(0, len(raw), size):
            events += decoder.feed(raw[at : at + size])
        return tracemalloc.get_traced_memory()[1], events
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"], ids=["lf", "crlf"])
def test_peak_memory_of_a_long_line(size: int, end: bytes) -> None:
    text = b"0123456789abcdef" * (MIB // 4 if size > 7 else MIB // 128)
    peak, events = peak_memory(b"data: " + text + end, size)
    assert [event.data for event in events] == [text]
    assert peak < LINE_PEAK * len(text), f"{peak / len(text):.2f} times the event"


@pytest.mark.parametrize("size", [7, 65_536])
def test_peak_memory_of_many_data_lines(size: int) -> None:
    line = b"0123456789abcdef" * 16
    peak, events = peak_memory((b"data: " + line + b"\n") * 1024 + b"\n", size)
    assert [event.data for event in events] == [b"\n".join([line] * 1024)]
    assert peak < LINES_PEAK * MIB / 4, f"{peak / MIB * 4:.2f} times the event"


def test_memory_is_given_back_after_a_long_event() -> None:
    decoder = EventDecoder()
    tracemalloc.start()
    try:
        for piece in every(b"data: " + b"x" * MIB + b"\n\ndata: a\n\n", 4096):
            decoder.feed(piece)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < MIB // 8, f"{held} bytes are still held"


# ---------------------------------------------------------------------------------------------------------------------
# The encoder

any_text = st.text(st.one_of(st.sampled_from(" :\t\r\n\0\ufeff\u2028\x85"), st.characters(exclude_categories=["Cs"])))
one_line = any_text.map(lambda text: text.replace("\r", "").replace("\n", ""))
an_id = one_line.map(lambda text: text.replace("\0", ""))


class Sent(NamedTuple):
    data: str
    event: str | None
    id: str | None
    retry: int | None
    comment: str | None


sent_events = st.builds(
    Sent,
    data=any_text,
    event=st.none() | one_line,
    id=st.none() | an_id,
    retry=st.none() | st.integers(0, 10**9),
    comment=st.none() | one_line,
)


def normalised(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(sent=st.lists(sent_events, max_size=5), as_bytes=st.booleans(), cuts=cut_positions(400))
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@example(sent=[Sent("a\rb\nc\r\nd\n\re\r\n", "x", "1", 5, "ping")], as_bytes=False, cuts=[])
@example(
    sent=[Sent("", "", "", 0, ""), Sent(" ", " ", " ", None, None), Sent("\n", None, "", None, " ")],
    as_bytes=True,
    cuts=[],
)
def test_what_is_encoded_is_decoded(sent: list[Sent], as_bytes: bool, cuts: list[int]) -> None:
    raw = b""
    expected: list[Event] = []
    last_id = ""
    retry: int | None = None
    for one in sent:
        if one.comment is not None:
            raw += encode_comment(one.comment)
        data = one.data.encode() if as_bytes else one.data
        raw += encode_event(data, event=one.event, id=one.id, retry=one.retry)
        last_id = last_id if one.id is None else one.id
        retry = retry if one.retry is None else one.retry
        expected.append(Event(normalised(one.data), one.event or "message", last_id))
    assert decode(cut(raw, cuts)) == Outcome(expected, None, retry, last_id), repr(raw)
    reference = Reference(raw)
    assert Outcome(reference.events, reference.unfinished, reference.retry, reference.last_event_id) == Outcome(
        expected, None, retry, last_id
    ), repr(raw)


@given(comments=st.lists(one_line, max_size=4), cuts=cut_positions(100))
@settings(deadline=None)
def test_comments_are_ignored(comments: list[str], cuts: list[int]) -> None:
    raw = b"".join(map(encode_comment, comments))
    assert decode(cut(raw, cuts)) == Outcome([], None, None, "")
    assert decode(cut(raw + encode_event("a") + raw, cuts)) == Outcome([Event("a")], None, None, "")


@given(data=st.binary(max_size=40).map(lambda data: data.replace(b"\r", b"")))
@settings(deadline=None)
def test_bytes_are_carried_as_they_are(data: bytes) -> None:
    assert [event.data for event in EventDecoder().feed(encode_event(data))] == [data]


@pytest.mark.parametrize(
    ("data", "fields", "expected"),
    [
        pytest.param("{}", {}, b"data: {}\n\n", id="data"),
        pytest.param(b"{}", {}, b"data: {}\n\n", id="bytes"),
        pytest.param("", {}, b"data: \n\n", id="empty"),
        pytest.param("a\nb", {}, b"data: a\ndata: b\n\n", id="lf"),
        pytest.param("a\rb", {}, b"data: a\ndata: b\n\n", id="cr"),
        pytest.param("a\r\nb", {}, b"data: a\ndata: b\n\n", id="crlf"),
        pytest.param("a\n\rb", {}, b"data: a\ndata: \ndata: b\n\n", id="lf-cr"),
        pytest.param("a\n", {}, b"data: a\ndata: \n\n", id="trailing-lf"),
        pytest.param("\u2028\x85", {}, b"data: \xe2\x80\xa8\xc2\x85\n\n", id="pseudo-line-ends"),
        pytest.param(
            "a",
            {"event": "x", "id": "1", "retry": 5},
            b"event: x\nid: 1\nretry: 5\ndata: a\n\n",
            id="all-fields",
        ),
        pytest.param("a", {"id": ""}, b"id: \ndata: a\n\n", id="empty-id"),
        pytest.param("a", {"retry": 0}, b"retry: 0\ndata: a\n\n", id="no-wait"),
    ],
)
def test_encoded_form(data: str | bytes, fields: dict[str, Any], expected: bytes) -> None:
    assert encode_event(data, **fields) == expected


def test_encoded_form_of_a_comment() -> None:
    assert (encode_comment(), encode_comment("ping")) == (b": \n\n", b": ping\n\n")


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^got retry=-1, expected milliseconds, 0 or more$"):
        encode_event("a", retry=-1)


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"], ids=repr)
@pytest.mark.parametrize("text", ["{}", "a{}", "{}b", "a{}data: b"])
def test_line_breaks_outside_data_are_refused(text: str, line_break: str) -> None:
    broken = text.format(line_break)
    with pytest.raises(ValueError, match="line break in the event"):
        encode_event("a", event=broken)
    with pytest.raises(ValueError, match="line break in the id"):
        encode_event("a", id=broken)
    with pytest.raises(ValueError, match="line break in the comment"):
        encode_comment(broken)


@pytest.mark.parametrize("text", ["\0", "1\0", "\x001"], ids=repr)
def test_nul_in_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^got an id with a NUL character\b"):
        encode_event("a", id=text)


# ---------------------------------------------------------------------------------------------------------------------
# What an event is


def test_event_keeps_bytes_and_replaces_on_demand() -> None:
    (event,) = EventDecoder().feed(b"data: a\xff\n\n")
    assert event == ServerSentEvent(b"a\xff", "message", "")
    assert event.text == "a\ufffd"


def test_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ServerSentEvent(b"a").data = b"b"  # type: ignore[misc]


def test_a_flood_of_zeros_before_a_wait() -> None:
    """Python would refuse to read a number of so many digits."""
    decoder = EventDecoder()
    decoder.feed(b"retry: " + b"0" * 5000 + b"7\n")
    assert decoder.retry == 7


@pytest.mark.parametrize("before", [b"", b":\n"], ids=["plain", "line-by-line"])
def test_every_byte_but_a_line_end_may_begin_and_end_the_data(before: bytes) -> None:
    for byte in sorted({*range(256)} - {*b"\r\n"}):
        data = bytes([byte, 0x2D, byte])
        assert [event.data for event in EventDecoder().feed(before + b"data: " + data + b"\n\n")] == [data]


def test_events_come_with_the_feed_that_completes_them() -> None:
    decoder = EventDecoder()
    raw = b"data: a\n\ndata: b\r\n\r\ndata: c\r\r: x\n\n"
    came = [(at, event.data) for at in range(len(raw)) for event in decoder.feed(raw[at : at + 1])]
    # With CRLF the CR of the blank line is enough: the LF after it belongs to the same line end.
    assert came == [(8, b"a"), (18, b"b"), (28, b"c")]


def test_events_that_come_alone_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is all that a slow model's events cost; nothing else tells the two ways apart."""
    long_way: list[bytes] = []
    feed_anything = EventDecoder._feed_anything

    def counted(self: EventDecoder, data: bytes) -> list[ServerSentEvent]:
        long_way.append(data)
        return feed_anything(self, data)

    monkeypatch.setattr(EventDecoder, "_feed_anything", counted)
    decoder = EventDecoder(max_event_bytes=len(b"data: longest\n\n"))
    others = [
        b"data: first\n\n",
        b": ping\n\n",
        b"data: a\n\ndata: b\n\n",
        b"event: x\ndata: c\n\n",
        b"data: d\r\n\r\n",
        b"\n",
    ]
    for other in others:
        decoder.feed(other)
        assert [event.data for event in decoder.feed(b"data: longest\n\n")] == [b"longest"]
    assert long_way == others


@pytest.mark.parametrize("before", [b"data: a\n", b"event: x\n", b"id: 7\n", b"data: a", b": a"])
def test_what_was_begun_is_not_forgotten_on_the_short_way(before: bytes) -> None:
    whole, parted = EventDecoder(), EventDecoder()
    parted.feed(b"data: first\n\n")
    expected = whole.feed(b"data: first\n\n" + before + b"data: last\n\n")[1:]
    assert parted.feed(before) + parted.feed(b"data: last\n\n") == expected
