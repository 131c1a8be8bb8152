"""Sessions: what the commands do, what becomes of an answer that is cut, and what somebody at a terminal sees."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import stat
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inference_async import InferenceClient, SystemMessage, tool
from inference_async.cli.asked import Asked, Asker
from inference_async.cli.conversations import Conversation
from inference_async.cli.render import noter
from inference_async.cli.session import COMMANDS, Session
from inference_async.emulator import Emulator
from inference_async.types.base import plain
from tests.cli.terminal import in_terminal
from tests.support import DONE, STREAM_HEAD, Connection, RawServer, ScriptedReply, chunk, event, scripted

PIXEL = Path(__file__).parent.parent.parent / "docs" / "pixel.png"


@tool
def weather(city: str) -> str:
    """The weather."""
    return f"rain in {city}"


async def session(
    client: InferenceClient, lines: Sequence[str], conversation: Conversation | None = None, **options: Any
) -> Session:
    """A session in which these lines were typed."""
    left = iter(lines)

    async def read() -> str:
        line = next(left, None)
        if line is None:
            raise EOFError
        return line

    asked = Asked(prompt=None, tools=options.pop("tools", []))
    made = Session(Asker(client, asked, {}, noter()), conversation or Conversation(model="m"), read, **options)
    await made.run()
    return made


def said(made: Session) -> list[tuple[str, Any]]:
    return [(row["role"], row["content"]) for row in map(plain, made.conversation.messages)]


async def test_a_conversation_goes_on(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["one", "  ", "two", "/quit", "three"])
    assert said(made) == [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two")]
    out, err = capsys.readouterr()
    assert out == "one\ntwo\n"
    assert re.fullmatch(r"m at 127\.0\.0\.1:\d+; /help lists the commands, Ctrl-D ends\n\n\n\n", err)


async def test_the_instructions(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    begun = Conversation([SystemMessage("be brief")], model="m")
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["/system", "/system be long", "one", "/clear"], begun)
        assert said(made) == [("system", "be long")]
        made = await session(client, ["/system -", "/retry"], made.conversation)
        assert said(made) == []
    err = capsys.readouterr().err
    for words in ("after 1 message;", "instructions: be brief", "instructions: be long", "instructions: none"):
        assert words in err
    assert "error: nothing has been asked yet" in err


async def test_the_model(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["/model other", "one", "/model", "/model no-such-model", "two"], usage=True)
    err = capsys.readouterr().err
    assert "model: other\n" in err
    assert "emulator/other, 1 + 1 = 2 tokens" in err
    assert "request id" in err
    assert "error: got 404" in err
    assert said(made) == [("user", "one"), ("assistant", "one")], "a question that got no answer is taken back"
    assert made.conversation.model == "no-such-model"


async def test_images_go_with_one_prompt(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, [f"/image {PIXEL}", "/image nothing.png", "/image", "what?", "and now?"])
    rows = said(made)
    assert [part["type"] for part in rows[0][1]] == ["text", "image_url"]
    assert rows[2] == ("user", "and now?")
    out, err = capsys.readouterr()
    assert out == "what?\n[image: image/png, 70 bytes]\nand now?\n"
    assert "1 image with the next prompt" in err
    assert "error: the file 'nothing.png' cannot be read" in err
    assert "error: got no file, expected its name after the command" in err


async def test_saved_after_each_answer_and_loaded_again(
    emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "talk.json"
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["one", f"/save {file}", "two"])
        again = await session(client, ["/usage", f"/load {file}", "/usage", "/save", "/load nothing.json", "three"])
    assert said(again)[:4] == said(made)
    assert said(again)[4:] == [("user", "three"), ("assistant", "three")]
    assert len(json.loads(file.read_bytes())["messages"]) == 4, "loading is not saving"
    err = capsys.readouterr().err
    for words in ("0 messages, 0 + 0 = 0 tokens", "4 messages, model m", "4 messages, 4 + 2 = 6 tokens"):
        assert words in err
    assert "error: got no file" in err
    assert "error: the file 'nothing.json' cannot be read" in err


async def test_retry_asks_the_last_question_again(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["one", "two", "/retry"])
    assert said(made) == [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two")]
    assert emulator.requests == 3
    assert capsys.readouterr().out == "one\ntwo\ntwo\n"


async def test_tools_are_told_before_they_run(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["[call-tools]", "/retry"], tools=[weather])
    assert [role for role, _ in said(made)] == ["user", "assistant", "tool", "assistant"]
    out, err = capsys.readouterr()
    assert out.count('weather: "rain in city"') == 2
    calls = [line for line in err.splitlines() if line]
    assert calls[1] == 'calls weather {"city": "city"}'
    assert re.fullmatch(r'weather returned "rain in city" after \d+\.\d\d s', calls[2])


async def test_an_error_is_told_and_the_session_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    broken = ScriptedReply([event(chunk("Hel"))])
    good = ScriptedReply([event(chunk("fine", "stop")), DONE])
    client = scripted(broken, good)
    made = await session(client, ["one", "/frob", "two"])
    assert said(made) == [("user", "one"), ("assistant", "Hel"), ("user", "two"), ("assistant", "fine")]
    err = capsys.readouterr().err
    assert "error: the stream ended after 1 chunks without a finish reason or [DONE]: the answer is cut (" in err
    assert "what came is kept; /retry asks again" in err
    assert "error: there is no command /frob; /help lists them" in err


async def test_what_had_to_be_taken_back_is_not_sent_again(emulator: Emulator) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        made = await session(client, ["[late-filter]"])
    assert len(said(made)[1][1]) == 126


async def test_what_looks_like_a_path_is_a_prompt(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        await session(client, ["/etc/passwd is what?", " /help is a word"])
    assert capsys.readouterr().out == "/etc/passwd is what?\n/help is a word\n"


async def test_help_lists_all(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with InferenceClient(emulator.models_url, emulator.key) as client:
        await session(client, ["/help"])
    err = capsys.readouterr().err
    assert all(f"\n/{name} " in err for name in COMMANDS)
    assert "Alt-Enter" in err


@pytest.mark.parametrize("arrived", ["Hello", ""])
async def test_ctrl_c_cuts_the_answer_and_keeps_what_came(arrived: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk(arrived)), end=False)
        await connection.gone.wait()

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:

        async def press() -> None:
            await server.asked.wait()
            while arrived not in capsys.readouterr().out:  # noqa: ASYNC110  (printing sets no event)
                await asyncio.sleep(0.005)
            signal.raise_signal(signal.SIGINT)

        before = signal.getsignal(signal.SIGINT)
        pressing = asyncio.create_task(press())
        made = await session(client, ["one"])
        await pressing
        await asyncio.wait_for(server.gone.wait(), 5)
    assert signal.getsignal(signal.SIGINT) is before
    err = capsys.readouterr().err
    if arrived:
        assert said(made) == [("user", "one"), ("assistant", "Hello")]
        assert "cut, what came is kept; /retry asks again" in err
    else:
        assert said(made) == []
        assert "cut, the question is taken back; /retry asks again" in err


async def test_the_end_of_a_session_ends_its_answer() -> None:
    asked = asyncio.Event()

    async def answer(connection: Connection) -> None:
        asked.set()
        await connection.gone.wait()

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        running = asyncio.create_task(session(client, ["one"]))
        await asked.wait()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert running.cancelled()
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_at_a_terminal(tmp_path: Path) -> None:
    answers = iter(["Hello **bold** [2J\x1b[2J\n\n", "again"])

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk(next(answers))), end=False)
        await connection.gone.wait()

    talk = tmp_path / "talk.json"
    async with (
        RawServer(answer) as server,
        in_terminal(
            *("chat", "--model", "m", "--endpoint", f"{server.url}/v1", "--save", str(talk)), state=tmp_path
        ) as terminal,
    ):
        at = await terminal.until("Ctrl-D ends")
        at = await terminal.until(">", since=at)
        terminal.type("one\\\rtwo\x1b\rthree\r")
        at = await terminal.until("Hello bold [2J[2J", since=at)
        assert b"\x1b[2J" not in terminal.raw
        assert not terminal.settings()[3] & termios.ECHO, "what is typed now would stand in the midst of the answer"
        terminal.type("\x03")
        at = await terminal.until("cut, what came is kept", since=at)
        await asyncio.wait_for(server.gone.wait(), 5)
        assert json.loads(server.requests[0][1])["messages"] == [{"role": "user", "content": "one\ntwo\nthree"}]
        at = await terminal.until(">", since=at)
        terminal.type("no")
        at = await terminal.until("no", since=at)
        terminal.type("\x03yes\r")
        at = await terminal.until("again", since=at)
        terminal.type("\x03")
        at = await terminal.until(">", since=await terminal.until("cut", since=at))
        terminal.type("/quit\r")
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        assert terminal.settings() == terminal.cooked
    assert json.loads(server.requests[1][1])["messages"][-1] == {"role": "user", "content": "yes"}
    assert len(json.loads(talk.read_bytes())["messages"]) == 4
    kept = tmp_path / "inference-async" / "history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [line for line in kept.read_text().splitlines() if line.startswith("+")] == [
        "+one",
        "+two",
        "+three",
        "+yes",
        "+/quit",
    ]


async def test_sigterm_leaves_the_terminal_as_it_was(emulator: Emulator, tmp_path: Path) -> None:
    env = {"AZURE_INFERENCE_ENDPOINT": emulator.models_url, "AZURE_INFERENCE_CREDENTIAL": str(emulator.key)}
    async with in_terminal("chat", "--no-history", state=tmp_path, env=env) as terminal:
        at = await terminal.until(">", since=await terminal.until("Ctrl-D ends"))
        terminal.type("half")
        await terminal.until("half", since=at)
        assert terminal.settings() != terminal.cooked
        terminal.process.terminate()
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 143
        assert terminal.settings() == terminal.cooked
    assert not (tmp_path / "inference-async").exists()


async def test_without_prompt_toolkit_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "prompt_toolkit.py").write_text("raise ModuleNotFoundError('no', name='prompt_toolkit')\n")
    async with in_terminal("chat", state=tmp_path, env={"PYTHONPATH": str(tmp_path)}) as terminal:
        await terminal.until("pip install 'inference-async[cli]'")
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 1
    assert "error: a session needs prompt_toolkit" in " ".join(terminal.text.split())
