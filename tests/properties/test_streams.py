"""Bytes to a completion, however they are sliced: the rooms of `wire` together, against a plain fold."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inference_async.types import ChatCompletionChunk, ToolCall, Usage
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder, Item, Mark
from inference_async.wire.sse import EventDecoder

Document = dict[str, Any]

TEXTS = ("content", "reasoning_content", "refusal")
arguments = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=6), max_size=3).map(json.dumps)
finishes = st.sampled_from(["stop", "length", "tool_calls"])


@st.composite
def cut(draw: st.DrawFn, whole: str) -> list[str]:
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4))), len(whole)]
    return [whole[a:b] for a, b in pairwise(edges)]


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    """What the events of a stream hold: choices, texts and calls in pieces, and these in any order."""
    pieces: dict[tuple[int, str | int], list[Document]] = {}
    indices = range(draw(st.integers(1, 3)))
    for index in indices:
        for name in draw(st.sets(st.sampled_from(TEXTS))):
            pieces[index, name] = [{name: piece} for piece in draw(cut(draw(st.text(max_size=12))))]
        for number in range(draw(st.integers(0, 2))):
            first: Document = {"id": f"call-{index}-{number}", "type": "function", "function": {"name": f"f{number}"}}
            more: list[Document] = [{"function": {"arguments": piece}} for piece in draw(cut(draw(arguments)))]
            calls: list[Document] = [{"index": number} | call for call in [first, *more]]
            pieces[index, number] = [{"tool_calls": [call]} for call in calls]
    order = draw(st.permutations([key for key, deltas in pieces.items() for _ in deltas]))
    left = {key: iter(deltas) for key, deltas in pieces.items()}
    choices: list[Document] = [{"index": key[0], "delta": next(left[key]), "finish_reason": None} for key in order]
    choices += [{"index": index, "delta": {}, "finish_reason": draw(finishes)} for index in indices]
    said: list[Document] = []
    for choice in choices:
        last = said[-1]["choices"] if said else []
        if last and all(other["index"] != choice["index"] for other in last) and draw(st.booleans()):
            last.append(choice)
        else:
            said.append({"id": "c", "model": "m", "created": 1, "choices": [choice]})
    if draw(st.booleans()):
        said.append({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    return said


@st.composite
def events(draw: st.DrawFn, said: list[Document]) -> bytes:
    """An event stream of these."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    between = st.sampled_from(["", f": ping{end}{end}", f"event: message{end}", f"id: 1{end}", f"data:{end}{end}"])
    form: dict[str, Any] = {"ensure_ascii": draw(st.booleans()), "indent": draw(st.sampled_from([None, 0]))}
    texts = [*(json.dumps(one, **form) for one in said), "[DONE]"]
    blocks = [draw(between) + "".join(f"data: {line}{end}" for line in text.split("\n")) for text in texts]
    return "".join(f"{block}{end}" for block in blocks).encode()


def read(pieces: list[bytes]) -> list[Item]:
    decoder, chunks = EventDecoder(), ChunkDecoder()
    items = [item for piece in pieces for item in chunks.decode(decoder.feed(piece))]
    return items + chunks.last(decoder.close())


def folded(said: list[Document]) -> dict[int, Document]:
    """What the choices amount to."""
    choices: dict[int, Document] = {}
    for choice in (choice for document in said for choice in document["choices"]):
        whole = choices.setdefault(
            choice["index"], dict.fromkeys(TEXTS, "") | {"calls": defaultdict(lambda: ["", "", ""])}
        )
        whole["finish"] = choice["finish_reason"]
        for name in TEXTS:
            whole[name] += choice["delta"].get(name, "")
        for call in choice["delta"].get("tool_calls", []):
            parts = (call.get("id", ""), call["function"].get("name", ""), call["function"].get("arguments", ""))
            whole["calls"][call["index"]] = [a + b for a, b in zip(whole["calls"][call["index"]], parts, strict=True)]
    return choices


def parts_of(call: ToolCall) -> list[str | None]:
    return [call.id, call.function.name, call.function.arguments]


@settings(deadline=None)
@given(st.data(), documents())
def test_any_deltas_in_any_slices(data: st.DataObject, said: list[Document]) -> None:
    raw = data.draw(events(said))
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12))), len(raw)]
    items = read([raw[a:b] for a, b in pairwise(edges)])
    assert items == read([raw]) == read([raw[at : at + 1] for at in range(len(raw))])
    *chunks, done, end = items
    assert (done, end) == (Mark.DONE, Mark.END)
    whole = Accumulator()
    for chunk in chunks:
        assert isinstance(chunk, ChatCompletionChunk)
        whole.add(chunk)
    assert whole.finished
    assert whole.chunks == len(said)
    completion = whole.completion
    assert (completion.id, completion.model, completion.created) == ("c", "m", 1)
    expected = folded(said)
    assert [choice.index for choice in completion.choices] == sorted(expected)
    for choice in completion.choices:
        one, message = expected[choice.index], choice.message
        assert [getattr(message, name) or "" for name in TEXTS] == [one[name] for name in TEXTS]
        assert sorted(map(parts_of, message.tool_calls)) == sorted(one["calls"].values())
        assert choice.finish_reason == one["finish"]
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    assert completion.usage == (usage if "usage" in said[-1] else None)
