"""Cassettes: recorded once, replayed for ever, and nothing in them that is nobody's business."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from inference_async import (
    APIConnectionError,
    BetweenTokensTimeoutError,
    ClientClosedError,
    ConfigurationError,
    IncompleteStreamError,
    InferenceClient,
    InferenceError,
    RateLimitError,
    RetryPolicy,
)
from inference_async.emulator import Emulator, FaultServer
from inference_async.net.detour import DETOUR
from inference_async.net.transport import Reply
from inference_async.testing import NoAnswerError, cassette, chunks, forbid_real_calls, sse
from inference_async.testing.transport import ScriptedReply
from inference_async.wire.request import Call, Secret

SECRET = "secret-key-of-24-letters"
REAL = "https://r.services.ai.azure.com/models"


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def text_of(path: Path) -> str:
    return path.read_text()


def is_there(path: Path) -> bool:
    return path.exists()


def rewrite(path: Path, **answer: object) -> None:
    """Change the answer that was recorded last."""
    *others, last = lines_of(path)
    last["answer"] |= answer
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (*others, last)))


def call_of(body: object = None, *, url: str = f"{REAL}/chat/completions", **headers: str) -> Call:
    sent = {"accept": "text/event-stream", "api-key": Secret(SECRET), **headers}
    return Call(method="POST", url=url, headers=sent, body=json.dumps(body).encode())


async def ask(
    call: Call, pieces: Iterable[bytes | float | InferenceError] | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Send a call the way of all calls, to a network that answers with these pieces; or to none at all."""

    async def network(_: Call) -> Reply:
        assert pieces is not None, "the network was asked"
        return ScriptedReply(pieces, status=200, headers=headers or {})

    assert DETOUR.tape is not None
    return await DETOUR.tape(call, network)


async def read(reply: Reply) -> list[bytes]:
    pieces: list[bytes] = []
    while piece := await reply.read():
        pieces.append(piece)
    return pieces


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "tape.jsonl"


async def test_recorded_once_and_replayed_for_ever(path: Path, emulator: Emulator, client: InferenceClient) -> None:
    for turn in range(3):
        with cassette(path) as tape:
            whole = await client.complete("said back")
            async with client.stream("said back, too") as stream:
                texts = [text async for text in stream.text()]
            vectors = (await client.embed("said back", dimensions=4)).vectors
        assert (tape.recorded, tape.played) == ((3, 0) if turn == 0 else (0, 3))
        assert whole.text == "said back"
        assert texts == ["said", " back", ",", " too"]
        assert len(vectors[0]) == 4
        assert whole.meta.request_id == lines_of(path)[1]["answer"]["headers"]["x-request-id"]
    assert emulator.requests == 3


async def test_a_replay_asks_nobody_wherever_the_client_points(path: Path, client: InferenceClient) -> None:
    with cassette(path):
        await client.complete("said back")
    endpoint = str(client.endpoint.base).replace(client.endpoint.host, "elsewhere.invalid").replace("http:", "https:")
    options: dict[str, Any] = {"model": client.model, "dialect": client.endpoint.dialect}
    with cassette(path, mode="none"), forbid_real_calls():
        async with InferenceClient(endpoint, "another-key", **options) as other:
            assert (await other.complete("said back")).text == "said back"


async def test_pieces_and_delays_are_kept(path: Path) -> None:
    pieces: list[bytes | float | InferenceError] = [b"data: one\n\n", b"da", 0.01, b"ta: \xc3", b"\xbc\n\n"]
    with cassette(path):
        assert await read(await ask(call_of(), pieces)) == [piece for piece in pieces if isinstance(piece, bytes)]
    (recorded,) = lines_of(path)[1:]
    kept = [piece for _, piece in recorded["answer"]["pieces"]]
    assert kept == ["data: one\n\n", "da", {"base64": "dGE6IMM="}, {"base64": "vAoK"}]
    delays = [seconds for seconds, _ in recorded["answer"]["pieces"]]
    assert delays[2] >= 0.009
    assert delays[0] < delays[2]
    loop = asyncio.get_running_loop()
    with cassette(path):
        began = loop.time()
        assert await read(await ask(call_of())) == [b"data: one\n\n", b"da", b"ta: \xc3", b"\xbc\n\n"]
        assert loop.time() - began >= 0.009


async def test_the_head_has_a_delay_of_its_own(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of(), [b"one"]))
    rewrite(path, seconds=0.01)
    loop = asyncio.get_running_loop()
    with cassette(path):
        began = loop.time()
        await ask(call_of())
        assert loop.time() - began >= 0.009


async def test_without_any_delay(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of(), [b"one", b"two"]))
    rewrite(path, seconds=3600.0, pieces=[[3600.0, "one"], [3600.0, "two"]])
    with cassette(path, pace=0):
        assert await read(await ask(call_of())) == [b"one", b"two"]


async def test_closing_the_client_cuts_a_replayed_delay(path: Path) -> None:
    with cassette(path):
        await read(
            await ask(call_of({"messages": [{"role": "user", "content": "hi"}], "stream": True}), [b"data: {}\n\n"])
        )
    rewrite(path, pieces=[[0.0, sse(chunks("one two"))[0].decode()], [3600.0, "data: [DONE]\n\n"]])
    with cassette(path):
        async with InferenceClient(REAL, "any-key") as client:
            stream = client.stream("hi")
            assert (await anext(stream)).text == "one"
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(ClientClosedError):
                await waiting


async def test_equal_requests_get_their_answers_in_order(path: Path) -> None:
    with cassette(path):
        for answer in (b"first", b"second"):
            await read(await ask(call_of({"a": 1, "b": [2]}), [answer]))
    with cassette(path) as tape:
        assert await read(await ask(call_of({"b": [2], "a": 1}))) == [b"first"]
        assert await read(await ask(call_of({"a": 1, "b": [2]}))) == [b"second"]
        with pytest.raises(NoAnswerError, match="was recorded 2 times, and is asked for once more"):
            await ask(call_of({"a": 1, "b": [2]}))
    assert tape.played == 2


async def test_retries_are_recorded_one_by_one(path: Path) -> None:
    policy = RetryPolicy(retries=1, backoff=0.0)
    async with FaultServer("status-503", "fine") as server:
        for turn in range(2):
            with cassette(path):
                async with InferenceClient(f"{server.url}/models", "any-key", model="m", retries=policy) as client:
                    assert (await client.complete("hi")).meta.attempts == 2
            assert len(server.requests) == 2, turn
    assert [line["answer"]["status"] for line in lines_of(path)[1:]] == [503, 200]


async def test_a_refusal_is_an_answer(path: Path) -> None:
    async with FaultServer("status-429") as server:
        for _ in range(2):
            with cassette(path):
                async with InferenceClient(f"{server.url}/models", "any-key", model="m", retries=0) as client:
                    with pytest.raises(RateLimitError):
                        await client.complete("hi")
        assert len(server.requests) == 1


async def test_a_cut_is_replayed_as_a_cut(path: Path) -> None:
    async with FaultServer("cut-between-events") as server:
        partial = ""
        for _ in range(2):
            with cassette(path):
                async with InferenceClient(f"{server.url}/models", "any-key", model="m", retries=0) as client:
                    with pytest.raises(IncompleteStreamError) as caught:
                        await client.stream("hi").final()
            assert caught.value.partial is not None
            assert partial in ("", caught.value.partial.text)
            partial = caught.value.partial.text
        assert len(server.requests) == 1
    assert lines_of(path)[1]["answer"]["end"] == "cut"


async def test_what_the_client_did_not_read_is_not_there(path: Path) -> None:
    with cassette(path):
        reply = await ask(call_of(), [b"one", b"two"])
        await reply.read()
        reply.close()
        with pytest.raises(ClientClosedError):
            await reply.read()
    with cassette(path):
        reply = await ask(call_of())
        assert await reply.read() == b"one"
        with pytest.raises(APIConnectionError, match="the recording ends here"):
            await reply.read()


async def test_a_limit_of_the_clients_is_no_end_of_the_answer(path: Path) -> None:
    with cassette(path):
        late = BetweenTokensTimeoutError("late", phase="between_tokens", elapsed=1.0)
        reply = await ask(call_of(), [b"one", late])
        await reply.read()
        with pytest.raises(BetweenTokensTimeoutError):
            await reply.read()
    assert lines_of(path)[1]["answer"]["end"] == "left"


async def test_what_a_stream_leaves_behind_its_end_is_whole(path: Path) -> None:
    with cassette(path):
        reply = await ask(call_of(), [b"one", b"two"])
        await reply.read()
        await reply.finish()
    assert "end" not in lines_of(path)[1]["answer"]


async def test_a_call_without_an_answer_is_not_recorded(path: Path) -> None:
    async def nobody(_: Call) -> Reply:
        raise APIConnectionError("refused")

    with cassette(path) as tape:
        assert DETOUR.tape is not None
        with pytest.raises(APIConnectionError, match="refused"):
            await DETOUR.tape(call_of(), nobody)
    assert tape.recorded == 0
    assert not is_there(path)


async def test_once_records_nothing_beside_what_is_there(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of({"messages": [{"content": "a"}], "n": 1}), [b"one"]))
    with cassette(path), pytest.raises(NoAnswerError) as caught:
        await ask(call_of({"messages": [{"content": "b"}], "temperature": 0.5}))
    assert str(caught.value).splitlines() == [
        f"{path} holds no answer to POST /models/chat/completions: the one of that path differs in",
        "  messages[0].content: 'a' recorded, 'b' sent",
        "  n: 1 recorded, nothing sent",
        "  temperature: nothing recorded, 0.5 sent",
        "delete the file to record it anew, or add to it with mode='new_episodes'",
    ]
    assert isinstance(caught.value, InferenceError)


async def test_the_nearest_recording_is_the_one_compared(path: Path) -> None:
    with cassette(path):
        for body in ({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1}):
            await read(await ask(call_of(body), [b"one"]))
    with cassette(path), pytest.raises(NoAnswerError, match="b: 2 recorded, 3 sent") as caught:
        await ask(call_of({"a": 2, "b": 3, "c": 1}))
    assert "  a:" not in str(caught.value)


async def test_many_differences_are_cut(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of({}), [b"one"]))
    with cassette(path), pytest.raises(NoAnswerError, match="and 8 more"):
        await ask(call_of({f"field{index}": index for index in range(20)}))


async def test_another_route_is_named(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of({}), [b"one"]))
    with cassette(path), pytest.raises(NoAnswerError, match="it holds POST /models/chat/completions; delete"):
        await ask(call_of({}, url=f"{REAL}/embeddings"))


async def test_none_never_records(path: Path) -> None:
    with cassette(path, mode="none") as tape, pytest.raises(NoAnswerError, match="is empty or not there"):
        await ask(call_of())
    assert tape.recorded == 0
    assert not is_there(path)


async def test_new_episodes_adds_to_what_is_there(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of(1), [b"one"]))
    before = text_of(path)
    with cassette(path, mode="new_episodes") as tape:
        assert await read(await ask(call_of(1))) == [b"one"]
        assert await read(await ask(call_of(2), [b"two"])) == [b"two"]
    assert (tape.played, tape.recorded) == (1, 1)
    assert text_of(path).startswith(before)
    with cassette(path, mode="none"):
        assert await read(await ask(call_of(2))) == [b"two"]


async def test_what_failed_is_recorded_too(path: Path) -> None:
    async def failing() -> None:
        with cassette(path):
            await read(await ask(call_of(), [b"one"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert len(lines_of(path)) == 2
    assert DETOUR.tape is None


async def test_an_inner_cassette_stands_before_the_outer(path: Path, tmp_path: Path) -> None:
    with cassette(path) as outer:
        with cassette(tmp_path / "inner.jsonl") as inner:
            await read(await ask(call_of(), [b"one"]))
        await read(await ask(call_of(), [b"two"]))
    assert (outer.recorded, inner.recorded) == (1, 1)


async def test_no_secret_is_written(path: Path) -> None:
    url = f"{REAL}/{SECRET}/completions?api-version=1-{SECRET}&subscription-key=another-secret-7&other=x"
    body = {"messages": [{"content": f"my key is {SECRET}"}], "another-secret-7": "another-secret-7"}
    said = f"data: your key is {SECRET} and".encode()
    headers = {"set-cookie": "session=s", "x-request-id": f"id-{SECRET}", "x-other": "o", "retry-after": "3"}
    with cassette(path):
        call = call_of(body, url=url, **{"extra-parameters": f"drop {SECRET}", "x-mine": "m", "cookie": "c"})
        heard = await read(await ask(call, [said, f"{SECRET[:9]}".encode(), f"{SECRET[9:]} end".encode()], headers))
    assert b"".join(heard).count(SECRET.encode()) == 2, "who records hears it as it is"
    text = text_of(path)
    assert SECRET not in text
    assert SECRET[:9] not in text
    assert "another-secret-7" not in text
    (recorded,) = lines_of(path)[1:]
    assert recorded["request"] == {
        "method": "POST",
        "path": "/models/[secret]/completions",
        "query": {"api-version": "1-[secret]"},
        "headers": {"accept": "text/event-stream", "extra-parameters": "drop [secret]"},
        "body": {"messages": [{"content": "my key is [secret]"}], "[secret]": "[secret]"},
    }
    assert recorded["answer"]["headers"] == {"x-request-id": "id-[secret]", "retry-after": "3"}
    assert [piece for _, piece in recorded["answer"]["pieces"]] == ["data: your key is [secret] and[secret] end"]


async def test_prompts_are_digests_by_choice(path: Path) -> None:
    body: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "a private text"},
            {"role": "user", "content": [{"type": "text", "text": "another private text"}]},
        ],
        "model": "some-model",
        "temperature": 0.5,
        "user": "a private name",
        "response_format": {"type": "json_object"},
    }
    with cassette(path, prompts=False):
        await read(await ask(call_of(body), [b"one"]))
    assert "private" not in text_of(path)
    sent = lines_of(path)[1]["request"]["body"]
    assert (sent["model"], sent["temperature"], sent["response_format"]) == ("some-model", 0.5, {"type": "json_object"})
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    with cassette(path):
        assert await read(await ask(call_of(body))) == [b"one"]
    body["messages"][0]["content"] = "a third private text"
    with cassette(path, prompts=False), pytest.raises(NoAnswerError) as caught:
        await ask(call_of(body))
    assert "messages[0].content: another text was recorded than was sent" in str(caught.value)
    assert "private" not in str(caught.value)


async def test_a_body_that_is_no_json_is_a_digest(path: Path) -> None:
    call = Call(method="PUT", url=f"{REAL}/files", headers={}, body=b"\xffprivate")
    with cassette(path):
        await read(await ask(call, [b"one"]))
    assert lines_of(path)[1]["request"]["body"].startswith("sha256:")
    with cassette(path):
        assert await read(await ask(call)) == [b"one"]
        with pytest.raises(NoAnswerError):
            await ask(Call(method="PUT", url=f"{REAL}/files", headers={}, body=b"\xffother"))


async def test_prompts_are_not_kept_where_they_were_not_meant_to_be(path: Path) -> None:
    with cassette(path):
        await read(await ask(call_of(), [b"one"]))
    with pytest.raises(ConfigurationError, match="was recorded with prompts"), cassette(path, prompts=False):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1, is not that of a cassette"),
        (b"{}\n", "line 1, is not that of a cassette"),
        (b"\xff\n", "line 1, is not that of a cassette"),
        (b'{"cassette": 2, "prompts": "kept"}\n', "of version 2, expected 1"),
        (b'{"cassette": 1, "prompts": "kept"}\n{"request": 1}\n', "line 2, is not that of a cassette"),
    ],
)
def test_what_is_no_cassette(path: Path, content: bytes, words: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words), cassette(path):
        pass
    assert DETOUR.tape is None


async def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: "), cassette(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be "), cassette(tmp_path / "file" / "tape.jsonl"):
        await read(await ask(call_of(), [b"one"]))
    assert DETOUR.tape is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "all"}, "got mode='all', expected one of 'once'"),
        ({"pace": -1}, "got pace=-1"),
        ({"pace": float("nan")}, "got pace=nan"),
    ],
)
def test_what_is_no_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        cassette("tape.jsonl", **options)
