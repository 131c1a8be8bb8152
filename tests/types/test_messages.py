"""Messages and parts: what goes over the wire, and the text in them."""

from __future__ import annotations

import base64
import pickle
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference_async.errors import ConfigurationError
from inference_async.types import (
    AssistantMessage,
    AudioPart,
    AudioURL,
    AudioURLPart,
    DeveloperMessage,
    FunctionCall,
    ImageEmbeddingInput,
    ImagePart,
    ImageURL,
    InputAudio,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from inference_async.types.media import MAX_MEDIA_BYTES
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
        pytest.param(["a", "b"], "ab", id="parts that are mere text"),
        pytest.param([1, None, {"text": "b"}, ["c"]], "", id="not parts"),
        pytest.param([{"type": "text", "text": 5}, {"type": "text", "text": "a"}], "a", id="text that is none"),
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


# ---------------------------------------------------------------------------------------------------------------------
# Reasoning


def thinking(*texts: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts]}


ANSWER = {"type": "text", "text": "Hi"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(AssistantMessage(content="Hi"), "", id="none"),
        pytest.param(AssistantMessage(reasoning_content="hm"), "hm", id="reasoning_content"),
        pytest.param(AssistantMessage(raw_reasoning="hm"), "hm", id="reasoning"),
        pytest.param(AssistantMessage(reasoning_content="a", raw_reasoning="b"), "a", id="both"),
        pytest.param(AssistantMessage(reasoning_content="", raw_reasoning="b"), "b", id="the first is empty"),
        pytest.param(AssistantMessage(reasoning_content="", raw_reasoning="", content="Hi"), "", id="both empty"),
        pytest.param(AssistantMessage(content=[thinking("h", "m"), ANSWER]), "hm", id="mistral"),
        pytest.param(AssistantMessage(content=[thinking("h"), ANSWER, thinking("m")]), "hm", id="mistral, twice"),
        pytest.param(AssistantMessage(content=[{"type": "thinking", "thinking": "hm"}, ANSWER]), "hm", id="cohere"),
        pytest.param(AssistantMessage(content=[{"type": "reasoning", "reasoning": "hm"}]), "hm", id="type reasoning"),
        pytest.param(AssistantMessage(content=[{"type": "thinking", "text": "hm"}]), "hm", id="under text"),
        pytest.param(AssistantMessage(content=[thinking("a")], reasoning_content="b"), "b", id="a name and parts"),
        pytest.param(
            AssistantMessage(content=[thinking("a")], reasoning_content=""), "a", id="an empty name and parts"
        ),
        pytest.param(AssistantMessage(content=[]), "", id="no parts"),
        pytest.param(
            AssistantMessage(content=[{"type": "thinking"}, {"type": "thinking", "thinking": None}, "hm", 5, None]),
            "",
            id="parts that say nothing",
        ),
        pytest.param(
            AssistantMessage(content=[{"type": "thinking", "thinking": 5}, {"type": "thinking", "thinking": {"a": 1}}]),
            "",
            id="thoughts that are none",
        ),
        pytest.param(
            AssistantMessage(content=[{"type": "thinking", "thinking": [{"type": "text", "text": 5}, 6]}]),
            "",
            id="pieces of thought that are none",
        ),
    ],
)
def test_reasoning(message: AssistantMessage, expected: str) -> None:
    assert message.reasoning == expected


@pytest.mark.parametrize("content", [[thinking("hm"), ANSWER], [{"type": "thinking", "thinking": "hm"}, ANSWER]])
def test_text_is_without_the_reasoning(content: list[Any]) -> None:
    message = AssistantMessage(content=content)
    assert (message.text, message.reasoning) == ("Hi", "hm")
    assert plain(message) == {"role": "assistant", "content": content}


# ---------------------------------------------------------------------------------------------------------------------
# Bytes and files

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP3 = b"ID3\x04\0"


def in_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_image_from_bytes() -> None:
    url = in_url("image/png", PNG)
    assert ImagePart.from_bytes(PNG) == ImagePart(ImageURL(url))
    assert plain(ImagePart.from_bytes(PNG, detail="low")) == {
        "type": "image_url",
        "image_url": {"url": url, "detail": "low"},
    }


def test_audio_from_bytes() -> None:
    data = base64.b64encode(WAV).decode()
    assert plain(AudioPart.from_bytes(WAV)) == {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    assert AudioPart.from_bytes(MP3).input_audio.format == "mp3"
    assert AudioPart.from_bytes(WAV, format="pcm16").input_audio == InputAudio(data, "pcm16")
    assert AudioPart.from_bytes(b"OggS", format="ogg").input_audio.format == "ogg"


def test_image_embedding_input_from_bytes() -> None:
    url = in_url("image/jpeg", JPEG)
    assert plain(ImageEmbeddingInput.from_bytes(JPEG)) == {"image": url}
    assert plain(ImageEmbeddingInput.from_bytes(JPEG, text="a cat")) == {"image": url, "text": "a cat"}


@pytest.mark.parametrize("make", [ImagePart.from_bytes, ImageEmbeddingInput.from_bytes, AudioPart.from_bytes])
def test_bytes_of_something_else(make: Callable[[bytes], Any]) -> None:
    with pytest.raises(ConfigurationError, match="got 8 bytes that are"):
        make(b"%PDF-1.7")


Load = Callable[..., Awaitable[Any]]
LOADS: dict[str, tuple[Load, Callable[[bytes], Any], bytes]] = {
    "image": (ImagePart.load, ImagePart.from_bytes, PNG),
    "audio": (AudioPart.load, AudioPart.from_bytes, WAV),
    "image to embed": (ImageEmbeddingInput.load, ImageEmbeddingInput.from_bytes, JPEG),
}
loads = pytest.mark.parametrize(("load", "from_bytes", "data"), LOADS.values(), ids=LOADS)


@loads
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.wav", "a.txt", "a"])
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "Path"])
async def test_load_goes_by_the_bytes_and_not_by_the_name(
    load: Load, from_bytes: Callable[[bytes], Any], data: bytes, name: str, kind: type[Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    assert await load(kind(tmp_path / name)) == from_bytes(data)


async def test_load_takes_what_from_bytes_takes(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(PNG)
    (tmp_path / "sound").write_bytes(b"OggS")
    assert await ImagePart.load(tmp_path / "image", detail="high") == ImagePart.from_bytes(PNG, detail="high")
    assert await AudioPart.load(tmp_path / "sound", format="ogg") == AudioPart.from_bytes(b"OggS", format="ogg")
    found = await ImageEmbeddingInput.load(tmp_path / "image", text="a cat")
    assert found == ImageEmbeddingInput.from_bytes(PNG, text="a cat")


@loads
async def test_load_refuses_and_names_the_file(
    load: Load, from_bytes: Callable[[bytes], Any], data: bytes, tmp_path: Path
) -> None:
    del from_bytes
    file = tmp_path / "report.png"
    with pytest.raises(ConfigurationError, match=r"report\.png' cannot be read: no such file"):
        await load(file)
    file.write_bytes(b"%PDF-1.7")
    with pytest.raises(ConfigurationError, match=r"report\.png': got 8 bytes that are"):
        await load(file)
    file.write_bytes(data)
    assert await load(file, max_bytes=len(data))
    with pytest.raises(ConfigurationError, match=rf"report\.png' is over {len(data) - 1} bytes"):
        await load(file, max_bytes=len(data) - 1)
    with pytest.raises(ConfigurationError, match="is a directory"):
        await load(tmp_path)
    with pytest.raises(ConfigurationError, match="got a path of type bytes"):
        await load(data)


@loads
async def test_load_is_bounded_unasked(
    load: Load, from_bytes: Callable[[bytes], Any], data: bytes, tmp_path: Path
) -> None:
    del from_bytes
    file = tmp_path / "huge"
    with file.open("wb") as opened:  # sparse: it takes no room
        opened.write(data)
        opened.truncate(MAX_MEDIA_BYTES + 1)
    with pytest.raises(ConfigurationError, match=r"over 20,971,520 bytes"):
        await load(file)


@loads
async def test_load_encodes_off_the_event_loop(
    load: Load, from_bytes: Callable[[bytes], Any], data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del from_bytes
    threads: list[int] = []
    encode = base64.b64encode

    def recorded(value: bytes) -> bytes:
        threads.append(threading.get_ident())
        return encode(value)

    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr("base64.b64encode", recorded)
    await load(tmp_path / "a")
    assert threads
    assert threading.get_ident() not in threads
