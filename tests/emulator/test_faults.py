"""The catalogue: that it is whole, and what its families say. That sockets say the same is in test_faulty.py."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from email.utils import parsedate_to_datetime
from itertools import groupby, islice
from typing import Any

import pytest

from inference_async.emulator import FAULTS, Asked, Fault
from inference_async.emulator.behaviour import GROUPS, spoken
from inference_async.emulator.bodies import many_calls, many_choices
from inference_async.emulator.golden import DONE, completion, dumped
from inference_async.emulator.miscarried import CODINGS, CONNECTIONS, CUTS, FRAMINGS, HEADS, REUSES, SILENCES, SIZES
from inference_async.emulator.misworded import CONTENTS, ENDINGS, EVENTS, JSON
from inference_async.emulator.refused import REDIRECTS, RETRIES, STATUSES

STREAM = Asked(body=b'{"stream":true}', at=1_800_000_000.0, target="http://there.invalid/", path="/p")
WHOLE = Asked(at=1_800_000_000.0, target="http://there.invalid/", path="/p")
SLOW = {"bomb", "bomb-error", "many-choices", "many-calls"}


def answer(name: str, asked: Asked = STREAM) -> tuple[list[str], bytes]:
    """The lines of the head, and the body as it is framed."""
    said = b"".join(piece for piece in islice(spoken(FAULTS[name], asked).pieces, 1000) if piece)
    head, _, body = said.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def unchunked(body: bytes) -> bytes:
    whole = b""
    while (parts := body.partition(b"\r\n"))[0] != b"0":
        size = int(parts[0], 16)
        whole += parts[2][:size]
        body = parts[2][size + 2 :]
    return whole


def events(name: str) -> list[bytes]:
    return unchunked(answer(name)[1]).split(b"\n\n")


def test_no_name_is_there_twice() -> None:
    tables: list[tuple[Fault, ...]] = [CODINGS, CONNECTIONS, CUTS, FRAMINGS, HEADS, REUSES, SILENCES, SIZES]
    tables += [CONTENTS, ENDINGS, EVENTS, JSON, REDIRECTS, RETRIES, STATUSES]
    assert len(FAULTS) == 1 + sum(map(len, tables)) > 300
    assert [group for group, _ in groupby(FAULTS.values(), lambda one: one.group)] == list(GROUPS)


@pytest.mark.parametrize("one", FAULTS.values(), ids=FAULTS)
def test_each_has_a_name_and_a_line_about_it(one: Fault) -> None:
    assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", one.name)
    assert FAULTS[one.name] is one
    assert 5 < len(one.summary) < 110
    assert not one.summary.endswith(".")


@pytest.mark.parametrize("one", [one for one in FAULTS.values() if one.name != "fine"], ids=lambda one: one.name)
def test_each_does_something(one: Fault) -> None:
    for asked in (STREAM, WHOLE):
        mine, good = spoken(one, asked), spoken(FAULTS["fine"], asked)
        if mine.then != good.then or one.ahead or list(islice(mine.pieces, 30)) != list(islice(good.pieces, 30)):
            return
    pytest.fail("it is a good answer in every way")


@pytest.mark.parametrize("one", [one for one in FAULTS.values() if one.name not in SLOW], ids=lambda one: one.name)
def test_what_is_called_endless_is_and_nothing_else(one: Fault) -> None:
    pieces = spoken(one, WHOLE if one.kind == "whole" else STREAM).pieces
    ends = len(list(islice(pieces, 3000))) < 3000
    assert ends != (one.endless or one.name in ("endless-trailers", "stray-bytes-endless"))


@pytest.mark.parametrize("one", STATUSES, ids=lambda one: one.name)
def test_statuses(one: Fault) -> None:
    lines, body = answer(one.name, WHOLE)
    number = one.name.split("-")[1]
    assert lines[0].startswith(f"HTTP/1.1 {number} ")
    assert (f"content-length: {len(body)}" in lines) == (number not in ("204", "205", "304"))
    if "content-type: application/json" in lines and body.startswith((b"{", b"[")):
        json.loads(body)


@pytest.mark.parametrize(
    "status", [*(400, 401, 403, 404, 408, 409, 413, 422, 424), *(429, 500, 502, 503, 504, 524, 529)]
)
def test_the_statuses_that_services_send_are_there(status: int) -> None:
    assert FAULTS[f"status-{status}"].status == status


def test_hints_when_to_come_again() -> None:
    said = {one.name: answer(one.name)[0] for one in RETRIES}
    for name, line in {
        "retry-seconds": "retry-after: 1",
        "retry-ms": "retry-after-ms: 50",
        "retry-x-ms": "x-ms-retry-after-ms: 50",
        "retry-garbage": "retry-after: soon",
        "retry-negative": "retry-after: -1",
        "retry-nan": "retry-after: nan",
        "retry-day": "retry-after: 86400",
        "retry-should": "x-should-retry: true",
        "retry-should-not": "x-should-retry: false",
    }.items():
        assert said[name][0] == "HTTP/1.1 429 Too Many Requests"
        assert said[name][-1] == line

    def moments(name: str) -> list[float]:
        return [parsedate_to_datetime(line.partition(": ")[2]).timestamp() for line in said[name] if "GMT" in line]

    assert moments("retry-date") == [STREAM.at + 2]
    assert moments("retry-past-date") == [STREAM.at - 3600]
    clock, then = moments("retry-skewed-date")
    assert (clock - STREAM.at, then - clock) == (3600, 2)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(status: int) -> None:
    lines, body = answer(f"redirect-{status}")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert lines[-1] == "location: http://there.invalid/"
    assert body == b"0\r\n\r\n"


def decoded(name: str) -> bytes:
    body = unchunked(answer(name)[1])
    match name:
        case "gzip" | "x-gzip" | "gzip-unlabelled" | "gzip-members":
            return gzip.decompress(body)
        case "gzip-twice":
            return gzip.decompress(gzip.decompress(body))
        case "deflate":
            return zlib.decompress(body)
        case "raw-deflate":
            return zlib.decompress(body, -15)
        case _:
            return body


@pytest.mark.parametrize(
    "name",
    [
        *("gzip", "x-gzip", "deflate", "raw-deflate", "gzip-unlabelled", "gzip-twice", "gzip-members"),
        "gzip-label",
        "identity",
    ],
)
def test_codings_that_can_be_undone(name: str) -> None:
    assert decoded(name) == unchunked(answer("fine")[1])


@pytest.mark.parametrize("name", ["gzip-corrupt", "gzip-wrong-sum", "gzip-cut", "gzip-no-trailer", "gzip-trailing"])
def test_codings_that_cannot(name: str) -> None:
    body = unchunked(answer(name)[1])
    with pytest.raises((zlib.error, EOFError, gzip.BadGzipFile)):
        gzip.decompress(body)


def test_a_bomb_is_small_on_the_wire_and_large_when_it_is_read() -> None:
    machine = zlib.decompressobj(31)
    sent = got = 0
    for number, piece in enumerate(spoken(FAULTS["bomb"], WHOLE).pieces):
        if number and piece is not None and number < 12:
            sent += len(piece)
            got += len(machine.decompress(piece.partition(b"\r\n")[2][:-2]))
        elif number:
            break
    assert got > 500 * sent > 5_000_000


BROKEN = {
    "control-character",
    "bad-escape",
    "leading-zero",
    "trailing-comma",
    "comment",
    "single-quotes",
    "python-none",
}
BROKEN |= {
    "invalid-utf-8",
    "cut-utf-8",
    "surrogate-bytes",
    "huge-integer",
    "deep-lists",
    "deep-objects",
    "deep-unclosed",
}


@pytest.mark.parametrize("one", JSON, ids=lambda one: one.name)
def test_json_that_is_hard_to_take(one: Fault) -> None:
    texts = [answer(one.name, WHOLE)[1], events(one.name)[1].removeprefix(b"data: ")]
    for text in texts:
        if one.name in BROKEN:
            with pytest.raises((ValueError, RecursionError)):
                json.loads(text.decode())
        else:
            json.loads(text.decode())
    assert json.loads(events(one.name)[0].removeprefix(b"data: "))


def text_of(name: str) -> Any:
    return [json.loads(one.removeprefix(b"data: ")) for one in events(name) if one.startswith(b"data: {")]


def test_endings() -> None:
    finishes = {
        name: any(choice["finish_reason"] for one in text_of(name) for choice in one["choices"])
        for name in ("unfinished", "no-done", "no-finish")
    }
    assert finishes == {"unfinished": False, "no-done": True, "no-finish": False}
    ends = {name: unchunked(answer(name)[1]).endswith(DONE) for name in finishes}
    assert ends == {"unfinished": False, "no-done": False, "no-finish": True}
    assert events("finish-without-blank-line")[-1].endswith(b'"stop"}]}\n')
    assert events("finish-without-newline")[-1].endswith(b'"stop"}]}')
    assert unchunked(answer("done-without-blank-line")[1]) == unchunked(answer("fine")[1])[:-1]
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(events("half-event")[-1].removeprefix(b"data: "))


def test_framings() -> None:
    whole = dumped(completion())
    assert f"content-length: {len(whole) + 10}" in answer("length-over", WHOLE)[0]
    assert f"content-length: {len(whole) - 10}" in answer("length-under", WHOLE)[0]
    assert {"transfer-encoding: chunked", "content-length: 5"} <= set(answer("length-and-chunked")[0])
    assert answer("length-twice", WHOLE)[0][-2:] == [f"content-length: {len(whole)}", "content-length: 5"]
    assert re.findall(rb"\n(xyz)\r\ndata: ", answer("chunk-size-garbage")[1]) == [b"xyz"]
    assert unchunked(answer("chunk-per-byte")[1]) == unchunked(answer("fine")[1])
    assert answer("http-1.0", WHOLE) == (
        ["HTTP/1.0 200 OK", "content-type: application/json", "x-request-id: request-golden"],
        whole,
    )


def test_other_lines_and_marks() -> None:
    good = unchunked(answer("fine")[1])
    assert unchunked(answer("crlf")[1]) == good.replace(b"\n", b"\r\n")
    assert unchunked(answer("cr")[1]) == good.replace(b"\n", b"\r")
    assert unchunked(answer("bom")[1]) == b"\xef\xbb\xbf" + good
    assert unchunked(answer("whole-for-stream")[1]) == dumped(completion())


def test_many() -> None:
    for make, path in ((many_choices, "choices"), (many_calls, "tool_calls")):
        whole = b"".join(piece for piece in make(WHOLE, count=2500) if piece)
        assert whole.count(b'"index":') >= 2500
        assert path in json.dumps(json.loads(whole))
        streamed = b"".join(piece for piece in make(STREAM, count=2500) if piece)
        for one in streamed.removesuffix(DONE).split(b"\n\n")[:-1]:
            json.loads(one.removeprefix(b"data: "))
        assert streamed.endswith(DONE)
