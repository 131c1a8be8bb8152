"""The whole surface over HTTP: this client against the emulator, on every dialect."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from inference_async import (
    AudioPart,
    BadRequestError,
    ContentFilterError,
    ImageEmbeddingInput,
    ImagePart,
    InferenceClient,
    NotFoundError,
    TextPart,
    UnprocessableEntityError,
    UserMessage,
    tool,
)
from inference_async.emulator import Emulator
from inference_async.types import ContentPart
from inference_async.wire.endpoints import Dialect
from tests.support import collect

TOKEN: Final = "an-entra-token"
PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63fccfc0500f000485018084a98c210000000049454e44ae426082"
)
WAV: Final = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


class Way(NamedTuple):
    dialect: Dialect
    url: Callable[[Emulator], str]
    options: Mapping[str, Any] = MappingProxyType({})
    images: bool = False
    info: bool = False


WAYS: Final = {
    "models": Way("models", lambda emulator: emulator.models_url, images=True),
    "openai-v1": Way("openai-v1", lambda emulator: emulator.openai_url),
    "deployment": Way("deployment", lambda emulator: emulator.deployment_url("gpt-4o.mini")),
    "serverless": Way(
        "serverless", lambda emulator: emulator.serverless_url, {"dialect": "serverless"}, images=True, info=True
    ),
    "managed": Way("managed", lambda emulator: emulator.managed_url, {"dialect": "managed"}, images=True, info=True),
    "generic": Way("generic", lambda emulator: emulator.generic_url),
    "front": Way("openai-v1", lambda emulator: emulator.front_url, {"key_header": "Ocp-Apim-Subscription-Key"}),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class City(msgspec.Struct):
    name: str
    people: int


class Token:
    """A credential of azure-identity's shape."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str) -> Any:
        self.scopes += scopes
        return type("AccessToken", (), {"token": TOKEN, "expires_on": 2**33})


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(pace=0, tokens={TOKEN}) as server:
        yield server


@asynccontextmanager
async def client_of(way: Way, emulator: Emulator) -> AsyncIterator[InferenceClient]:
    client = InferenceClient(way.url(emulator), emulator.key, model="m", **way.options)
    async with client:
        assert client.endpoint.dialect == way.dialect
        yield client


@each_way
async def test_chat_whole_and_streamed(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        whole = await client.complete("How many languages are in the world?")
        streamed = await client.stream("How many languages are in the world?").final()
    assert whole.text == streamed.text
    assert whole.text.startswith("Linguists count")
    assert whole.usage is not None
    assert whole.usage == streamed.usage
    assert whole.meta.rate_limits.remaining_requests is not None


@each_way
async def test_a_token_in_place_of_the_key(way: Way, emulator: Emulator) -> None:
    credential = Token()
    options = {**way.options, "scope": "api://mine/.default"}
    async with InferenceClient(way.url(emulator), credential, model="m", **options) as client:
        assert (await client.complete("hello")).text == "hello"
    assert credential.scopes == ["api://mine/.default"]


@each_way
async def test_tools_both_turns(way: Way, emulator: Emulator) -> None:
    called: list[dict[str, Any]] = []

    @tool
    def count_things(kind: str, most: int) -> int:
        """Counts things."""
        called.append({"kind": kind, "most": most})
        return 3

    async with client_of(way, emulator) as client:
        whole = await client.run_tools("[call-tools] How many?", tools=[count_things])
        async with client.run_tools("[call-tools] How many?", tools=[count_things], stream=True) as run:
            await collect(run)
    assert len(called) == 2
    assert whole.text == run.completion.text
    assert "3" in whole.text


@each_way
async def test_a_typed_answer_whole_and_streamed(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        whole = await client.complete("The largest city of Norway?", response_type=City)
        made_up = await client.complete("any other question", response_type=list[City])
        stream = client.stream("The largest cities of Norway?", response_type=list[City])
        seen = [len(value) async for value in stream.partial()]
    assert whole.parsed == City("Oslo", 717000)
    assert all(isinstance(city, City) for city in made_up.parsed)
    assert seen == sorted(seen)
    assert stream.parsed == [City("Oslo", 717000), City("Bergen", 291000)]


@each_way
async def test_choices_and_log_probabilities(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        options: dict[str, Any] = {"n": 2, "logprobs": True, "top_logprobs": 2}
        whole = await client.complete("one two three", **options)
        streamed = await client.stream("one two three", **options).final()
    for completion in (whole, streamed):
        assert [choice.index for choice in completion.choices] == [0, 1]
        for choice in completion.choices:
            assert choice.logprobs is not None
            assert choice.logprobs.content is not None
            assert "".join(row.token for row in choice.logprobs.content) == choice.message.text
            assert all(len(row.top_logprobs) == 2 for row in choice.logprobs.content)


@each_way
async def test_images_and_sound(way: Way, emulator: Emulator) -> None:
    parts: list[ContentPart] = [
        TextPart("What is this?"),
        ImagePart.from_bytes(PIXEL, detail="low"),
        AudioPart.from_bytes(WAV),
    ]
    async with client_of(way, emulator) as client:
        text = (await client.complete(UserMessage(parts))).text
    assert f"image/png, {len(PIXEL)} bytes" in text
    assert f"{len(WAV)} bytes" in text


@each_way
async def test_a_refused_prompt(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        with pytest.raises(ContentFilterError) as caught:
            await client.complete("[content-filter] something")
    assert caught.value.content_filter.filtered == ("violence",)
    assert caught.value.completion is None


@each_way
async def test_a_cut_answer_is_data_or_an_error_by_choice(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        completion = await client.complete("[answer-filter] something")
        with pytest.raises(ContentFilterError) as caught:
            await client.complete("[answer-filter] something", raise_on_filter=True)
        with pytest.raises(ContentFilterError) as in_stream:
            await client.stream("[answer-filter] something", raise_on_filter=True).final()
    assert completion.finish_reason == "content_filter"
    assert completion.content_filter.filtered
    assert caught.value.content_filter == completion.content_filter
    assert in_stream.value.completion is not None
    assert in_stream.value.completion.text


@pytest.mark.parametrize("name", ["models", "openai-v1", "deployment"])
async def test_a_late_cut_says_from_where(name: str, emulator: Emulator) -> None:
    async with client_of(WAYS[name], emulator) as client, client.stream("[late-filter] something") as stream:
        shown = "".join([text async for text in stream.text()])
    assert stream.completion.finish_reason == "content_filter"
    assert (stream.retract_from, len(shown)) == (126, 169)
    assert stream.completion.prompt_filter.keys() >= {"hate", "self_harm", "sexual", "violence"}


@each_way
async def test_reasoning(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        whole = await client.complete("[reasoning] something")
        stream = client.stream("[reasoning] something")
        kinds = [piece.kind async for piece in stream.pieces()]
    assert whole.reasoning
    assert stream.completion.reasoning == whole.reasoning
    assert kinds == sorted(kinds), "the reasoning comes before the text"
    assert set(kinds) == {"reasoning", "text"}


@each_way
async def test_embeddings(way: Way, emulator: Emulator) -> None:
    texts = [f"text {index}" for index in range(10)]
    async with client_of(way, emulator) as client:
        one = await client.embed(texts, dimensions=8)
        many = await client.embed(texts, dimensions=8, batch_size=3, encoding_format="base64")
        shuffled = await client.embed(texts, dimensions=8, model="shuffled")
    assert (one.requests, many.requests) == (1, 4)
    assert isinstance(many.vectors[0], array)
    assert [list(vector) for vector in shuffled.vectors] == [list(vector) for vector in one.vectors]
    for first, second in zip(one.vectors, many.vectors, strict=True):
        assert list(first) == pytest.approx(list(second), abs=1e-6)
    assert many.usage == one.usage


@each_way
async def test_image_embeddings_and_model_info_where_there_are_any(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        image = ImageEmbeddingInput.from_bytes(PIXEL, text="a pixel")
        if way.images:
            assert len((await client.embed_images(image, dimensions=8)).vectors[0]) == 8
        else:
            with pytest.raises(NotFoundError, match="embed images"):
                await client.embed_images(image)
        if way.info:
            assert (await client.model_info()).kind == "chat_completion"
        else:
            with pytest.raises(NotFoundError, match="which model they hold"):
                await client.model_info()


@each_way
async def test_a_parameter_the_model_does_not_know(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        with pytest.raises((UnprocessableEntityError, BadRequestError)) as caught:
            await client.complete("hi", temperature=9)
    assert caught.value.param == "temperature"
    assert "temperature" in str(caught.value)
    if caught.value.status == 422:
        assert "the model 'm' does not take the parameter" in str(caught.value)


@each_way
async def test_any_other_request(way: Way, emulator: Emulator) -> None:
    async with client_of(way, emulator) as client:
        answer = await client.request(
            "POST", "chat/completions", json={"model": "m", "messages": [UserMessage("said back")]}
        )
        assert answer.json()["choices"][0]["message"]["content"] == "said back"
        with pytest.raises(NotFoundError):
            await client.request("GET", "no/such/route")
