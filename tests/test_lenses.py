"""Ways of looking at a stream: text, pieces, growing JSON; each waits, ends and fails as the stream does."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_async import (
    ChatStream,
    ClientClosedError,
    IncompleteStreamError,
    InferenceClient,
    Piece,
    StreamError,
)
from inference_async.lenses import PartialStream, PieceStream, TextStream
from inference_async.wire.think import split_think
from tests.support import DONE, ScriptedReply, chunk, collect, event, scripted, streamed

LENSES = {"text": ChatStream.text, "pieces": ChatStream.pieces, "partial": ChatStream.partial}
lenses = pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)


def delta(finish: str | None = None, *, index: int = 0, **fields: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]})


def ending(*texts: str) -> list[bytes]:
    """Each text in a chunk and a read of its own, then the end."""
    return [*(event(chunk(text)) for text in texts), event(chunk("", "stop")), DONE]


async def seen(lens: Any) -> list[Any]:
    """All that a lens shows, each as it was when it was shown."""
    return [copy.deepcopy(item) async for item in lens]


def runs(found: list[Piece]) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    for piece in found:
        if out and out[-1][0] == piece.kind:
            out[-1] = (piece.kind, out[-1][1] + piece.text)
        else:
            out.append((piece.kind, piece.text))
    return out


# ---------------------------------------------------------------------------------------------------------------------
# What all have in common


@lenses
async def test_a_cut_stream_fails_the_lens_and_keeps_failing_it(lens: Any) -> None:
    client, _ = streamed(event(chunk('{"a": 1')))
    stream = client.stream("hi")
    looking = lens(stream)
    with pytest.raises(IncompleteStreamError) as caught:
        await collect(looking)
    assert caught.value.partial is not None
    assert caught.value.partial.text == '{"a": 1'
    with pytest.raises(IncompleteStreamError):
        await anext(looking)


@lenses
async def test_after_the_end_there_is_nothing_more(lens: Any) -> None:
    client, reply = streamed(*ending('{"a": 1}'))
    looking = lens(client.stream("hi"))
    assert await collect(looking)
    assert await collect(looking) == []
    assert reply.finished


@lenses
async def test_closing_the_lens_closes_the_stream(lens: Any) -> None:
    client, reply = streamed(*ending('{"a": [1', ", 2]}"))
    stream = client.stream("hi")
    looking = lens(stream)
    await anext(looking)
    await looking.aclose()
    assert reply.closed
    with pytest.raises(ClientClosedError):
        await anext(looking)


@lenses
async def test_a_lens_is_its_own_iterator(lens: Any) -> None:
    client, _ = streamed(*ending("1"))
    looking = lens(client.stream("hi"))
    assert aiter(looking) is looking
    await looking.aclose()


@lenses
async def test_the_stream_knows_what_the_lens_saw(lens: Any) -> None:
    client, _ = streamed(*ending('{"a": ', "1}"))
    stream = client.stream("hi")
    await collect(lens(stream))
    assert stream.completion.text == '{"a": 1}'
    assert stream.completion.finish_reason == "stop"


@lenses
async def test_only_the_first_choice_is_looked_at(lens: Any) -> None:
    client, _ = streamed(delta(index=1, content='{"b": 2}'), delta("stop", index=1), *ending('{"a": 1}'))
    found = await seen(lens(client.stream("hi")))
    assert found in (['{"a": 1}'], [Piece("text", '{"a": 1}')], [{"a": 1}])


async def test_what_the_stream_hands_out() -> None:
    client, _ = streamed()
    stream = client.stream("hi")
    assert isinstance(stream.text(), TextStream)
    assert isinstance(stream.pieces(), PieceStream)
    assert isinstance(stream.partial(), PartialStream)


# ---------------------------------------------------------------------------------------------------------------------
# Text


async def test_text() -> None:
    client, _ = streamed(
        delta(role="assistant", content=""),
        delta(reasoning_content="hm"),
        delta(content=None),
        delta(content="Hel"),
        event({"choices": [], "usage": None}),
        delta(content="lo"),
        *ending(),
    )
    assert await collect(client.stream("hi").text()) == ["Hel", "lo"]


# ---------------------------------------------------------------------------------------------------------------------
# Pieces

R, T = "reasoning", "text"


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        pytest.param([{"content": "a"}, {"content": "b"}], [(T, "a"), (T, "b")], id="text alone"),
        pytest.param(
            [{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "a"}],
            [(R, "h"), (R, "m"), (T, "a")],
            id="reasoning_content",
        ),
        pytest.param([{"reasoning": "hm"}, {"content": "a"}], [(R, "hm"), (T, "a")], id="reasoning"),
        pytest.param([{"reasoning_content": "hm", "content": "a"}], [(R, "hm"), (T, "a")], id="both in one chunk"),
        pytest.param(
            [{"reasoning_content": "", "content": "a"}, {"reasoning_content": "", "content": ""}],
            [(T, "a")],
            id="empty strings",
        ),
        pytest.param(
            [
                {
                    "content": [
                        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                        {"type": "text", "text": "a"},
                    ]
                }
            ],
            [(R, "hm"), (T, "a")],
            id="parts",
        ),
        pytest.param([{"content": "<think>hm</think>a"}], [(T, "<think>hm</think>a")], id="tags are text unless asked"),
    ],
)
async def test_pieces(deltas: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    client, _ = streamed(*(delta(**fields) for fields in deltas), *ending())
    assert await collect(client.stream("hi").pieces()) == expected


TAGGED = "<think>one < two</think>\nHello <b>you</b> <thin"


@pytest.mark.parametrize("size", range(1, 12))
async def test_think_tags_cut_anywhere(size: int) -> None:
    texts = [TAGGED[at : at + size] for at in range(0, len(TAGGED), size)]
    client, _ = streamed(*ending(*texts))
    found = await collect(client.stream("hi").pieces(think_tags=True))
    assert runs(found) == [(R, "one < two"), (T, "\nHello <b>you</b> <thin")]
    assert all(piece.text for piece in found)


@given(places=st.lists(st.integers(0, len(TAGGED)), max_size=8))
async def test_think_tags_are_split_as_in_the_whole(places: list[int]) -> None:
    stops = sorted({0, len(TAGGED), *places})
    client, _ = streamed(*ending(*(TAGGED[start:stop] for start, stop in pairwise(stops))))
    found = runs(await collect(client.stream("hi").pieces(think_tags=True)))
    joined = tuple("".join(text for kind, text in found if kind == wanted).strip() for wanted in (R, T))
    assert joined == split_think(TAGGED)


async def test_starts_inside() -> None:
    client, _ = streamed(*ending("hm</th", "ink>a"))
    assert await collect(client.stream("hi").pieces(starts_inside=True)) == [(R, "hm"), (T, "a")]


async def test_think_tags_beside_reasoning_content() -> None:
    client, _ = streamed(delta(reasoning_content="a"), *ending("<think>b</think>c"))
    assert await collect(client.stream("hi").pieces(think_tags=True)) == [(R, "a"), (R, "b"), (T, "c")]


async def test_what_was_held_back_is_told_at_the_end_and_the_stream_then_ends() -> None:
    client, reply = streamed(*ending("a <thi"))
    looking = client.stream("hi").pieces(think_tags=True)
    assert await anext(looking) == (T, "a ")
    assert await anext(looking) == (T, "<thi")
    assert reply.finished
    with pytest.raises(StopAsyncIteration):
        await anext(looking)


# ---------------------------------------------------------------------------------------------------------------------
# Growing JSON


async def partials(*texts: str) -> list[Any]:
    client, _ = streamed(*ending(*texts))
    return await seen(client.stream("hi").partial())


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(['{"a": 1}'], [{"a": 1}], id="at once"),
        pytest.param(
            ['{"a', '": "x', 'y", ', '"b": [1', ", 2", "]}"],
            [{}, {"a": "x"}, {"a": "xy"}, {"a": "xy", "b": []}, {"a": "xy", "b": [1]}, {"a": "xy", "b": [1, 2]}],
            id="in pieces",
        ),
        pytest.param(["", " ", '{"a": 1}', " ", ""], [{"a": 1}], id="nothing new, nothing shown"),
        pytest.param(["[", "1", "2", ",", "3]"], [[], [12], [12, 3]], id="a number when it is whole"),
        pytest.param(["12", "3"], [123], id="a number that only the end makes whole"),
        pytest.param(["Hello", " you"], [], id="no JSON"),
        pytest.param([], [], id="nothing"),
    ],
)
async def test_partial(texts: list[str], expected: list[Any]) -> None:
    assert await partials(*texts) == expected


async def test_partial_takes_in_what_has_arrived() -> None:
    """Two reads, each of several chunks: two looks, not six."""
    first = b"".join(event(chunk(text)) for text in ('{"a": [1', ", 2", ", 3"))
    second = b"".join(event(chunk(text)) for text in (", 4", ", 5", "]}"))
    client, _ = streamed(first, second, *ending())
    assert await seen(client.stream("hi").partial()) == [{"a": [1, 2]}, {"a": [1, 2, 3, 4, 5]}]


async def test_partial_shows_the_last_of_a_stream_that_came_at_once() -> None:
    client, _ = streamed(b"".join(ending('{"a": [1', ", 2]}")))
    assert await seen(client.stream("hi").partial()) == [{"a": [1, 2]}]


async def test_partial_shows_what_came_before_an_error() -> None:
    """An error hides nothing of what arrived with it: chunks before it are handed out, and so is what they held."""
    error = event({"error": {"message": "overloaded"}})
    client, _ = streamed(event(chunk('{"a": [1')), event(chunk(", 2, 3")) + error)
    looking = client.stream("hi").partial()
    assert await anext(looking) == {"a": []}
    assert await anext(looking) == {"a": [1, 2]}
    with pytest.raises(StreamError, match="overloaded"):
        await anext(looking)


async def test_partial_grows_in_place() -> None:
    client, _ = streamed(*ending('{"a": [1,', "2,", "3]}"))
    found = await collect(client.stream("hi").partial())
    assert len({id(value) for value in found}) == 1
    assert found[-1] == {"a": [1, 2, 3]}


class City(msgspec.Struct):
    name: str
    size: int


def parsing(response_type: Any, *texts: str) -> tuple[InferenceClient, Any]:
    client = scripted(ScriptedReply(ending(*texts)))
    return client, client.stream("hi", response_type=response_type)


@pytest.mark.parametrize(
    ("response_type", "texts", "expected", "parsed"),
    [
        pytest.param(
            City,
            ['{"name": "Ro', 'me", "size": 3}'],
            [{"name": "Ro"}, {"name": "Rome", "size": 3}],
            City("Rome", 3),
            id="Struct",
        ),
        pytest.param(list[int], ['{"value"', ": [1, 2", ", 3]}"], [[1], [1, 2, 3]], [1, 2, 3], id="list"),
        pytest.param(
            list[City],
            ['{"value": [', '{"name": "Rome",', ' "size": 3}]}'],
            [[], [{"name": "Rome"}], [{"name": "Rome", "size": 3}]],
            [City("Rome", 3)],
            id="list of Structs",
        ),
        pytest.param(int, ['{"va', 'lue": 4', "2}"], [42], 42, id="number"),
    ],
)
async def test_partial_of_a_type_is_unwrapped(response_type: Any, texts: list[str], expected: Any, parsed: Any) -> None:
    _, stream = parsing(response_type, *texts)
    assert await seen(stream.partial()) == expected
    assert stream.parsed == parsed


async def test_partial_of_a_value_that_came_alone() -> None:
    _, stream = parsing(list[int], "[1, 2]")
    assert await seen(stream.partial()) == [[1, 2]]
    assert stream.parsed == [1, 2]


async def test_partial_of_an_answer_under_another_name_shows_nothing() -> None:
    _, stream = parsing(list[int], '{"other": 1}')
    assert await seen(stream.partial()) == []
