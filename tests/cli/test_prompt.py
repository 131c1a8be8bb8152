"""The prompt: its keys, what it keeps, what it completes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from inference_async.cli.prompt import Reader, _Completer, history_file, terminal_reader
from inference_async.cli.session import COMMANDS


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def fail(text: str, style: str = "") -> None:
    raise AssertionError(text)


@asynccontextmanager
async def typed(text: str, **options: Any) -> AsyncIterator[tuple[Reader, PipeInput]]:
    with create_pipe_input() as keys:
        keys.send_text(text)
        given: dict[str, Any] = {"history": False, "note": fail} | options
        yield await asyncio.to_thread(terminal_reader, COMMANDS, input=keys, output=DummyOutput(), **given), keys


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("one\r", "one"),
        ("one\\\rtwo\r", "one\ntwo"),
        ("one\x1b\rtwo\r", "one\ntwo"),
        ("\x1b[200~one\ntwo\x1b[201~\r", "one\ntwo"),
        ("one\x03two\r", "two"),
        ("one\x03\x03\r", ""),
    ],
    ids=repr,
)
async def test_keys(keys: str, line: str) -> None:
    async with typed(keys) as (read, _):
        assert await asyncio.wait_for(read(), 10) == line


async def test_ctrl_d_ends() -> None:
    async with typed("one\r\x04") as (read, keys):
        assert await asyncio.wait_for(read(), 10) == "one"
        keys.send_text("\x04")
        with pytest.raises(EOFError):
            await asyncio.wait_for(read(), 10)


async def test_prompts_are_kept_for_the_next_session() -> None:
    async with typed("one\r", history=True) as (read, _):
        await asyncio.wait_for(read(), 10)
    async with typed("", history=True) as (read, _):
        prompts: PromptSession[str] = cast("Any", read).__self__
        assert [line async for line in prompts.history.load()] == ["one"]


async def test_a_history_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    notes: list[str] = []
    async with typed("one\r", history=True, note=lambda text, style: notes.append(text)) as (read, _):
        assert await asyncio.wait_for(read(), 10) == "one"
    assert notes[0].startswith("prompts are not kept: ")


def test_where_prompts_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert history_file() == tmp_path / "inference-async" / "history"
    for useless in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", useless)
        assert history_file() == Path.home() / ".local" / "state" / "inference-async" / "history"


def test_what_is_completed(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("")

    def found(text: str) -> list[str]:
        return [one.text for one in _Completer(COMMANDS).get_completions(Document(text), CompleteEvent())]

    assert found("/s") == ["system", "save"]
    assert found(f"/image {tmp_path}/ph") == ["oto.png"]
    assert found("s") == found("/system ph") == found("/s\n/") == []
