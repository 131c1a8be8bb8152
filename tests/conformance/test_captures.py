"""Raw answers of real servers, served again over a real socket, read through the client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from inference_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ChatCompletion,
    InferenceClient,
    InternalServerError,
    NotFoundError,
    UnprocessableEntityError,
)
from tests.support import CAPTURES, Connection, RawServer

SERVERS = ("llama-server", "transformers", "litellm-mock")
KINDS = ("stream", "stream-usage", "stream-tools")


class Capture(NamedTuple):
    status: int
    head: bytes
    body: bytes

    @property
    def chunked(self) -> bool:
        return b"transfer-encoding: chunked" in self.head.lower()


def read(data: bytes) -> Capture:
    head, _, body = data.partition(b"\r\n\r\n")
    return Capture(int(head.split()[1]), head, body)


def capture(name: str) -> Capture:
    return read((CAPTURES / f"{name}.txt").read_bytes())


def errors(server: str) -> Iterator[tuple[str, Capture]]:
    data = (CAPTURES / f"{server}-errors.txt").read_bytes()
    for block in data.split(b"######## ")[1:]:
        name, _, rest = block.partition(b"\n")
        found = read(rest)
        length = next(
            int(line.split(b":")[1]) for line in found.head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        yield name.decode(), found._replace(body=found.body[:length])


def slices(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)] if size else [body]


async def replay(found: Capture, use: Callable[[InferenceClient], object], *, size: int = 0) -> None:
    """Serve one capture, its body in HTTP chunks of `size` bytes if it came chunked, and let `use` read it."""

    async def answer(connection: Connection) -> bool:
        await connection.send(found.head + b"\r\n\r\n")
        if found.chunked:
            await connection.send_chunks(*slices(found.body, size))
        else:
            await connection.send(found.body)
        return b"connection: close" not in found.head.lower()

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        result = use(client)
        if hasattr(result, "__await__"):
            await result


def expected_text(found: Capture) -> str:
    """What the events of a capture say, read in the most pedestrian way."""
    text = ""
    for line in found.body.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
    return text


def expected_usage(found: Capture) -> dict[str, object] | None:
    usage = None
    for line in found.body.decode().splitlines():
        if line.startswith("data: {"):
            usage = json.loads(line[6:]).get("usage") or usage
    return usage


@pytest.mark.parametrize("size", [0, 1, 7, 4096], ids=["whole", "1", "7", "4096"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", SERVERS)
async def test_streams(server: str, kind: str, size: int) -> None:
    found = capture(f"{server}-{kind}")

    async def use(client: InferenceClient) -> None:
        async with client.stream("hello") as stream:
            completion = await stream.final()
        assert completion.text == expected_text(found)
        usage = expected_usage(found)
        if usage is None:
            assert completion.usage is None
        else:
            assert completion.usage is not None
            assert completion.usage.total_tokens == usage["total_tokens"]
        assert completion.finish_reason in ("stop", "length", "tool_calls")
        assert completion.id
        assert completion.model
        assert "�" not in completion.text
        if kind == "stream-tools" and server != "litellm-mock":
            (call,) = completion.tool_calls
            assert call.function.name == "get_flight_info"
            assert json.loads(call.function.arguments) == {"origin_city": "Miami", "destination_city": "Seattle"}
            assert call.id

    await replay(found, use, size=size)


async def test_fields_nobody_documents_are_kept() -> None:
    async def use(client: InferenceClient) -> None:
        completion = await client.stream("hello").final()
        assert completion.extra["timings"]["cache_n"] == 5

    await replay(capture("llama-server-stream"), use)


@pytest.mark.parametrize("size", [0, 1])
async def test_comments_between_events(size: int) -> None:
    found = capture("litellm-mock-keepalive")

    async def use(client: InferenceClient) -> None:
        completion = await client.stream("hello").final()
        assert completion.text == "late answer"
        assert completion.finish_reason == "stop"

    await replay(found, use, size=size)


@pytest.mark.parametrize("server", SERVERS)
async def test_whole_answers(server: str) -> None:
    found = capture(f"{server}-complete")
    body = json.loads(found.body)

    async def use(client: InferenceClient) -> None:
        completion = await client.complete("hello")
        assert completion.text == body["choices"][0]["message"]["content"]
        assert completion.finish_reason == body["choices"][0]["finish_reason"]
        assert completion.usage is not None
        assert completion.usage.total_tokens == body["usage"]["total_tokens"]
        assert completion.id == body["id"]

    await replay(found, use)


@pytest.mark.parametrize("server", SERVERS)
async def test_a_whole_answer_to_a_stream_request_becomes_one_chunk(server: str) -> None:
    found = capture(f"{server}-complete")

    async def use(client: InferenceClient) -> None:
        async with client.stream("hello") as stream:
            chunks = [chunk async for chunk in stream]
        assert len(chunks) == 1
        body = json.loads(found.body)
        assert stream.completion.text == chunks[0].text == body["choices"][0]["message"]["content"]
        assert stream.usage is not None
        assert stream.usage.total_tokens == body["usage"]["total_tokens"]

    await replay(found, use)


WORDS: dict[tuple[str, str], tuple[type[APIStatusError], str]] = {
    ("llama-server", "wrong key"): (AuthenticationError, "Invalid API Key"),
    ("llama-server", "messages not a list"): (BadRequestError, "Expected 'messages' to be an array"),
    ("llama-server", "broken JSON"): (InternalServerError, "parse error at line 1, column 23"),
    ("llama-server", "wrong path"): (NotFoundError, "File Not Found"),
    ("transformers", "unknown model"): (InternalServerError, "Internal Server Error"),
    ("transformers", "messages not a list"): (InternalServerError, "Internal Server Error"),
    ("transformers", "broken JSON"): (UnprocessableEntityError, "JSON decode error"),
    ("transformers", "wrong path"): (NotFoundError, "Not Found"),
    ("litellm-mock", "unknown model"): (BadRequestError, "Invalid model name passed in model=no-such-model"),
    ("litellm-mock", "wrong key"): (AuthenticationError, "Invalid proxy server token passed"),
    ("litellm-mock", "messages not a list"): (BadRequestError, "'str' object has no attribute 'get'"),
    ("litellm-mock", "broken JSON"): (BadRequestError, "Invalid JSON payload"),
    ("litellm-mock", "wrong path"): (NotFoundError, "Not Found"),
}


@pytest.mark.parametrize("streaming", [False, True], ids=["complete", "stream"])
@pytest.mark.parametrize("server", SERVERS)
async def test_errors(server: str, *, streaming: bool) -> None:
    seen = set()
    for name, found in errors(server):
        seen.add(name)

        async def use(client: InferenceClient, name: str = name, found: Capture = found) -> ChatCompletion | None:
            asked = client.stream("hello").final() if streaming else client.complete("hello")
            if found.status == 200:  # some servers do not mind
                completion = await asked
                assert completion.text == "As of"
                return completion
            kind, words = WORDS[server, name]
            with pytest.raises(kind) as caught:
                await asked
            assert type(caught.value) is kind
            assert caught.value.status == found.status
            assert words in caught.value.detail
            assert caught.value.body == found.body.decode()
            return None

        await replay(found, use)
    assert seen == {"unknown model", "wrong key", "messages not a list", "broken JSON", "wrong path"}
