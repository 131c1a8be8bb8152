"""Messages and parts: what goes over the wire, and the text in them."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from inference_async.types import (
    AssistantMessage,
    AudioPart,
    AudioURL,
    AudioURLPart,
    DeveloperMessage,
    FunctionCall,
    ImagePart,
    ImageURL,
    InputAudio,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from inference_async.types.messages import text_of
from inference_async.wire.codec import plain

SHAPES: list[tuple[str, msgspec.Struct, dict[str, Any]]] = [
    ("system", SystemMessage("be brief"), {"role": "system", "content": "be brief"}),
    ("system name", SystemMessage("a", name="n"), {"role": "system", "content": "a", "name": "n"}),
    ("developer", DeveloperMessage("be brief"), {"role": "developer", "content": "be brief"}),
    ("developer name", DeveloperMessage("a", "n"), {"role": "developer", "content": "a", "name": "n"}),
    ("user", UserMessage("hi"), {"role": "user", "content": "hi"}),
    ("user name", UserMessage("hi", "ann"), {"role": "user", "content": "hi", "name": "ann"}),
    ("user empty", UserMessage(""), {"role": "user", "content": ""}),
    (
        "user parts",
        UserMessage([TextPart("what is this?"), ImagePart(ImageURL("https://h.example/a.png", detail="low"))]),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://h.example/a.png", "detail": "low"}},
            ],
        },
    ),
    (
        "user dict part",
        UserMessage([{"type": "file", "file": {"file_id": "f1"}}]),
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]},
    ),
    ("tool", ToolMessage("42", "c1"), {"role": "tool", "content": "42", "tool_call_id": "c1"}),
    ("tool null", ToolMessage(None, tool_call_id="c1"), {"role": "tool", "content": None, "tool_call_id": "c1"}),
    (
        "tool parts",
        ToolMessage([TextPart("42")], "c1"),
        {"role": "tool", "content": [{"type": "text", "text": "42"}], "tool_call_id": "c1"},
    ),
    ("text part", TextPart("a"), {"type": "text", "text": "a"}),
    (
        "image",
        ImagePart(ImageURL("data:image/png;base64,AA==")),
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ),
    (
        "audio",
        AudioPart(InputAudio("AA==", "wav")),
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ),
    (
        "audio url",
        AudioURLPart(AudioURL("https://h.example/a.wav")),
        {"type": "audio_url", "audio_url": {"url": "https://h.example/a.wav"}},
    ),
    ("assistant", AssistantMessage(content="hello"), {"role": "assistant", "content": "hello"}),
    (
        "assistant name and reasoning",
        AssistantMessage(content="a", name="n", reasoning_content="hm", refusal="no"),
        {"role": "assistant", "content": "a", "name": "n", "reasoning_content": "hm", "refusal": "no"},
    ),
    (
        "assistant calls",
        AssistantMessage(tool_calls=[ToolCall(id="c1", function=FunctionCall(name="f", arguments="{}"))]),
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
    ),
]


@pytest.mark.parametrize(("name", "value", "expected"), SHAPES, ids=[row[0] for row in SHAPES])
def test_shape_on_the_wire(name: str, value: msgspec.Struct, expected: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value)) == expected
    assert plain(value) == expected


def test_extra_of_a_message_goes_out_at_its_old_place() -> None:
    call = ToolCall(
        id="c1",
        function=FunctionCall(name="f", unknown_fields={"strictness": 1}),
        unknown_fields={"extra_content": {"google": {"thought_signature": "s=="}}},
    )
    message = AssistantMessage(content="a", tool_calls=[call], unknown_fields={"provider_specific_fields": {"x": 1}})
    assert plain(message) == {
        "role": "assistant",
        "content": "a",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": "", "strictness": 1},
                "extra_content": {"google": {"thought_signature": "s=="}},
            }
        ],
        "provider_specific_fields": {"x": 1},
    }


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("hello", "hello", id="str"),
        pytest.param("", "", id="empty"),
        pytest.param(None, "", id="none"),
        pytest.param([], "", id="no parts"),
        pytest.param([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab", id="parts joined"),
        pytest.param(
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}],
            "a",
            id="thinking is not text",
        ),
        pytest.param([{"type": "text", "text": None}, {"type": "text"}], "", id="text null or missing"),
        pytest.param(["a", 1, None, {"text": "b"}], "", id="not parts"),
    ],
)
def test_text_of(content: str | list[Any] | None, text: str) -> None:
    assert text_of(content) == text
    assert AssistantMessage(content=content).text == text


def test_assistant_role() -> None:
    assert AssistantMessage().role == "assistant"


def test_assistant_defaults() -> None:
    message = AssistantMessage()
    assert (message.content, message.tool_calls, message.refusal, message.function_call) == (None, [], None, None)
    assert (message.reasoning_content, message.raw_reasoning, message.audio, message.annotations) == (None,) * 4
    assert message.reasoning == ""


@pytest.mark.parametrize(
    "message",
    [SystemMessage("a", "n"), DeveloperMessage("a"), UserMessage([TextPart("a")]), ToolMessage("a", "c1")],
    ids=lambda value: type(value).__name__,
)
def test_pickles(message: msgspec.Struct) -> None:
    assert pickle.loads(pickle.dumps(message)) == message


def test_positional_content() -> None:
    assert SystemMessage("a").content == "a"
    assert DeveloperMessage("a").content == "a"
    assert UserMessage("a").content == "a"
    assert AssistantMessage("a").content == "a"
    assert ToolMessage("a", "c1").tool_call_id == "c1"
