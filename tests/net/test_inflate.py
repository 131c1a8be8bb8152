"""Inflating in steps: every coding, under any slicing, and never more at once than one step."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from inference_async.net.inflate import CorruptBodyError, Inflater, coding_of

TEXT = b"".join(b"data: %d\n\n" % number for number in range(20_000))
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BODIES = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "gzip of several members": (
        "gzip",
        gzip.compress(TEXT[:70_000]) + gzip.compress(b"") + gzip.compress(TEXT[70_000:]),
    ),
    "gzip with padding": ("gzip", gzip.compress(TEXT) + bytes(512)),
    "gzip, stored": ("gzip", gzip.compress(TEXT, 0)),
    "deflate with its wrapper": ("deflate", zlib.compress(TEXT)),
    "deflate without": ("deflate", BARE.compress(TEXT) + BARE.flush()),
}
each_body = pytest.mark.parametrize(("coding", "body"), BODIES.values(), ids=BODIES)


def inflated(inflater: Inflater, *pieces: bytes) -> list[bytes]:
    out: list[bytes] = []
    for piece in pieces:
        inflater.feed(piece)
        while step := inflater.step():
            out.append(step)
    return out


@each_body
@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
def test_any_slicing(coding: str, body: bytes, size: int) -> None:
    inflater = Inflater(coding)
    out = inflated(inflater, *(body[at : at + size] for at in range(0, len(body), size)))
    assert b"".join(out) == TEXT
    assert max(map(len, out)) <= 65_536
    assert inflater.is_whole
    assert inflater.step() == b""


@each_body
def test_an_end_too_early(coding: str, body: bytes) -> None:
    body = body.rstrip(b"\0") if "padding" in coding else body
    for cut in (1, 2, 9, len(body) // 2):
        inflater = Inflater(coding)
        inflated(inflater, body[:cut])
        assert not inflater.is_whole


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_nothing_is_whole(coding: str) -> None:
    assert Inflater(coding).is_whole


@pytest.mark.parametrize("wbits", [16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_what_was_flushed_comes_out_at_once(wbits: int) -> None:
    stream = zlib.compressobj(wbits=wbits)
    inflater = Inflater("gzip" if wbits > 16 else "deflate")
    for number in range(100):
        event = b"data: %d\n\n" % number
        assert inflated(inflater, stream.compress(event) + stream.flush(zlib.Z_SYNC_FLUSH)) == [event]
    assert inflated(inflater, stream.flush()) == []
    assert inflater.is_whole


def test_a_bomb_is_inflated_one_step_at_a_time() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 9)
    inflater = Inflater("gzip")
    inflater.feed(bomb)
    tracemalloc.start()
    try:
        for _ in range(20):
            assert len(inflater.step()) == 65_536
        assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb) + 1_000_000
    finally:
        tracemalloc.stop()


BROKEN = {
    "not gzip": ("gzip", b"data: 1\n\n"),
    "gzip with a wrong sum": ("gzip", gzip.compress(b"hello")[:-8] + bytes(8)),
    "gzip and more": ("gzip", gzip.compress(b"hello") + b"more"),
    "not deflate": ("deflate", b"\xff\xff\xff\xff"),
    "deflate and more": ("deflate", zlib.compress(b"hello") + b"more"),
    "members without end": ("gzip", gzip.compress(b"") * 200),
    "another coding": ("br", b"\x0b\x02\x80hello\x03"),
}


@pytest.mark.parametrize(("coding", "body"), BROKEN.values(), ids=BROKEN)
def test_what_is_corrupt(coding: str, body: bytes) -> None:
    inflater = Inflater(coding)
    with pytest.raises(CorruptBodyError):
        inflated(inflater, body)
    with pytest.raises(CorruptBodyError):
        inflater.step()
    assert not inflater.is_whole


def test_what_came_before_the_rot_is_handed_out() -> None:
    inflater = Inflater("deflate")
    inflater.feed(zlib.compress(b"hello") + b"more")
    assert inflater.step() == b"hello"
    with pytest.raises(CorruptBodyError, match="goes on after its end"):
        inflater.step()


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        (" deflate ,", "deflate"),
        ("identity, gzip", "gzip"),
        ("gzip, gzip", "gzip, gzip"),
        ("br", "br"),
    ],
)
def test_the_header(header: str, coding: str) -> None:
    assert coding_of(header) == coding
