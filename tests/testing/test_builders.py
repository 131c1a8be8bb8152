"""Answers in one line: they are what a client makes of the same answer over the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_async import ChatCompletion, ConfigurationError, InferenceClient, Usage
from inference_async.testing import ScriptedTransport, chunks, completion, sse, tool_call

TEXT = "Grüße aus Köln, heute mit Regen."


async def asked(*answers: Any, stream: bool) -> ChatCompletion:
    transport = ScriptedTransport(*answers)
    async with InferenceClient("http://localhost/v1", model="m", transport=transport, retries=0) as client:
        return await (client.stream("hi").final() if stream else client.complete("hi"))


@pytest.mark.parametrize("n", [None, 1, 2, 7, len(TEXT), len(TEXT) + 5])
async def test_chunks_make_the_text(n: int | None) -> None:
    made = chunks(TEXT, n=n)
    texts = [chunk.text for chunk in made if chunk.choices and chunk.finish_reason is None]
    assert "".join(texts) == TEXT
    assert n is None or len(texts) == n
    assert made[0].choices[0].delta.role == "assistant"
    assert made[-1].choices == []
    answer = await asked(sse(made), stream=True)
    assert (answer.text, answer.finish_reason, answer.usage) == (
        TEXT,
        "stop",
        Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2),
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_completion_over_the_wire_is_the_same(stream: bool) -> None:
    calls = [tool_call("forecast", city="Oslo", days=2), tool_call("forecast", city="Rom")]
    made = completion("I look.", tool_calls=calls, usage=(9, 12), model="some-model")
    answer = await asked(made, stream=stream)
    assert answer.text == "I look."
    assert answer.tool_calls == calls == made.tool_calls
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == Usage(prompt_tokens=9, completion_tokens=12, total_tokens=21)
    assert answer.model == "some-model"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_usage_and_another_reason(stream: bool) -> None:
    answer = await asked(completion("cut he", usage=None, finish_reason="length"), stream=stream)
    assert (answer.usage, answer.finish_reason) == (None, "length")


def test_a_stream_of_nothing_has_a_role_and_an_end() -> None:
    first, last = chunks(usage=None)
    assert first.choices[0].delta.role == "assistant"
    assert last.finish_reason == "stop"


def test_events_are_what_services_send() -> None:
    events = sse(chunks("hi", n=1))
    assert [event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events] == [True] * 4
    assert json.loads(events[2].removeprefix(b"data: "))["choices"] == []
    assert events[-1] == b"data: [DONE]\n\n"
    assert sse(chunks("hi", n=1), done=False) == events[:-1]


def test_a_call_of_a_tool() -> None:
    named, mapped = tool_call("forecast", city="Oslo"), tool_call("forecast", {"city": "Oslo"})
    assert named == mapped
    assert json.loads(named.function.arguments) == {"city": "Oslo"}
    assert named.id != tool_call("forecast", city="Rom").id
    assert tool_call("forecast").function.arguments == "{}"
    assert tool_call("forecast", "{broken", id="c1").function.arguments == "{broken"
    assert tool_call("forecast", "{broken", id="c1").id == "c1"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: chunks("hi", n=0), "got n=0"),
        (lambda: chunks("hi", n=True), "got n=True"),
        (lambda: tool_call("f", "{}", city="Oslo"), "as text beside arguments by name"),
    ],
)
def test_what_cannot_be_built(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()
