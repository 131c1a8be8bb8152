"""What the checkers must infer of typed answers, embeddings and what lies around them. Never run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_type

import msgspec
import pydantic

from inference_async import (
    UNSET,
    ChatCompletion,
    ChatStream,
    ContentFilterError,
    ContentFilterResults,
    Embedding,
    EmbeddingsResult,
    FilterResult,
    ImageEmbeddingInput,
    ImagePart,
    InferenceClient,
    InferenceError,
    Logprobs,
    ModelInfo,
    ParsedCompletion,
    ParsedStream,
    RateLimits,
    RawResponse,
    ResponseTypeError,
    Usage,
    UserMessage,
    split_think,
)


class City(msgspec.Struct):
    name: str


@dataclass
class River:
    length: float


class Lake(TypedDict):
    depth: int


class Mountain(pydantic.BaseModel):
    height: int


async def typed(client: InferenceClient) -> None:
    completion = await client.complete("hi", response_type=City, repair=1, temperature=0)
    assert_type(completion, ParsedCompletion[City])
    assert_type(completion.parsed, City)
    assert_type(completion.parsed.name, str)
    assert_type(completion.repaired, list[ChatCompletion])
    assert_type(completion.usage, Usage | None)
    assert_type((await client.complete("hi", response_type=River)).parsed.length, float)
    assert_type((await client.complete("hi", response_type=Lake)).parsed, Lake)
    assert_type((await client.complete("hi", response_type=Mountain)).parsed.height, int)
    assert_type((await client.complete("hi", response_type=list[City])).parsed, list[City])
    assert_type((await client.complete("hi", response_type=int)).parsed, int)
    # What is no class has no name for its values that checkers know; it works all the same.
    assert_type((await client.complete("hi", response_type=City | None)).parsed, Any)
    assert_type((await client.complete("hi", response_type=Literal["a", "b"])).parsed, Any)
    plain = await client.complete("hi", response_type=None)
    assert_type(plain, ChatCompletion)


async def streamed(client: InferenceClient) -> None:
    async with client.stream("hi", response_type=City) as stream:
        assert_type(stream, ParsedStream[City])
        async for value in stream.partial():
            assert_type(value, Any)
    assert_type(stream.parsed, City)
    assert_type(await stream.final(), ParsedCompletion[City])
    plain = client.stream("hi")
    assert_type(plain, ChatStream)
    async for piece in plain.pieces(think_tags=True):
        assert_type(piece.kind, Literal["text", "reasoning"])
        assert_type(piece.text, str)
    assert_type(plain.retract_from, int | None)
    assert_type(split_think("x"), tuple[str, str])


async def embedded(client: InferenceClient) -> None:
    result = await client.embed(["a", "b"], model="e", dimensions=3, encoding_format="base64")
    assert_type(result, EmbeddingsResult)
    assert_type(result.data, list[Embedding])
    for vector in result.vectors:
        assert_type(float(vector[0]), float)
    assert_type(await client.embed_images(await ImageEmbeddingInput.load("x.png")), EmbeddingsResult)
    assert_type(await client.model_info(), ModelInfo)
    raw = await client.request("GET", "info", params={"a": "b"})
    assert_type(raw, RawResponse)
    assert_type(raw.body, bytes)


async def around(client: InferenceClient) -> None:
    strict = client.with_options(defaults={"temperature": 0}, extra={"x": 1}, raise_on_filter=True)
    completion = await strict.complete(UserMessage([await ImagePart.load("x.png")]), temperature=UNSET)
    assert_type(completion.reasoning, str)
    assert_type(completion.content_filter, ContentFilterResults)
    assert_type(completion.prompt_filter["hate"], FilterResult)
    assert_type(completion.choices[0].logprobs, Logprobs | None)
    assert_type(completion.meta.rate_limits, RateLimits)


def errors(error: InferenceError) -> None:
    if isinstance(error, ContentFilterError):
        assert_type(error.content_filter.filtered, tuple[str, ...])
        assert_type(error.completion, ChatCompletion | None)
    if isinstance(error, ResponseTypeError):
        assert_type(error.position, str | None)
        assert_type(error.completion, ChatCompletion)


async def refused(client: InferenceClient) -> None:
    """Each of these must be an error to both checkers; an unused suppression is one too."""
    await client.complete("hi", repair=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    client.stream("hi", response_type=City, repair=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    await client.embed("hi", temperature=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
