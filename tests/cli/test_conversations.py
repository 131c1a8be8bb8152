"""Conversations as files."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from inference_async import (
    AssistantMessage,
    ConfigurationError,
    FunctionCall,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from inference_async.cli.conversations import Conversation, load, role_of, save

PIXEL = Path(__file__).parent.parent.parent / "docs" / "pixel.png"


async def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    call = ToolCall(id="c1", function=FunctionCall(name="f", arguments="{}"))
    conversation = Conversation(
        [
            SystemMessage("be brief"),
            UserMessage([TextPart("what?"), await ImagePart.load(PIXEL)]),
            AssistantMessage(tool_calls=[call]),
            ToolMessage("1", tool_call_id="c1"),
            AssistantMessage(content="one", reasoning_content="hm"),
        ],
        "m",
        Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5),
    )
    file = tmp_path / "talk.json"
    await save(conversation, file)
    rows = json.loads(file.read_bytes())["messages"]
    assert rows[2]["content"] is None, "which hosts insist on beside calls"
    assert rows[4] == {"role": "assistant", "content": "one", "reasoning_content": "hm"}
    loaded = await load(file)
    assert (loaded.model, loaded.usage, loaded.system) == ("m", conversation.usage, "be brief")
    assert [role_of(message) for message in loaded.messages] == ["system", "user", "assistant", "tool", "assistant"]
    await save(loaded, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == file.read_bytes()


async def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, link = tmp_path / "talk.json", tmp_path / "link.json"
    file.write_text("before")
    link.symlink_to(file)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(ConfigurationError, match="cannot be written: no space left on device"):
            await save(Conversation(), link)
    assert file.read_text() == "before"
    assert {path.name for path in (await asyncio.to_thread(tmp_path.glob, "*"))} == {"link.json", "talk.json"}
    await save(Conversation(), link)
    assert link.is_symlink()
    assert json.loads(file.read_bytes()) == {"model": None, "messages": []}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="no such file or directory"):
        await save(Conversation(), tmp_path / "nowhere" / "talk.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "got no JSON, expected a conversation that was saved"),
        ("[]", "got no conversation, expected an object with 'messages'"),
        ('{"messages": {}}', "got no conversation"),
        ('{"messages": [{"role": "nobody"}]}', r"got no message in messages\[0\]"),
        ('{"messages": [1]}', r"got no message in messages\[0\]"),
        ('{"messages": [], "model": 5}', "got model of type int, expected text"),
        ('{"messages": [], "usage": 5}', "got a usage that is none"),
        ("[" * 100_000, "got no JSON"),
    ],
)
async def test_what_is_no_conversation(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"talk.json': {words}"):
        await load(file)


def test_instructions() -> None:
    conversation = Conversation([UserMessage("a")])
    conversation.instruct("one")
    conversation.instruct("two")
    assert conversation.messages == [SystemMessage("two"), UserMessage("a")]
    conversation.instruct(None)
    conversation.instruct(None)
    assert conversation.messages == [UserMessage("a")]
    conversation.messages = [{"role": "system", "content": [{"type": "text", "text": "x"}]}]
    assert conversation.system == "(in parts)"
