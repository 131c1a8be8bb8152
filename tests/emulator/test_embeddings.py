"""Embeddings of text and pictures, over HTTP, and the vectors themselves."""

from __future__ import annotations

import base64
import math
import struct
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_async.emulator import Emulator
from inference_async.emulator.vectors import vector_of
from tests.emulator.asking import DIALECTS, LIKE_MODELS, ask

PNG = "data:image/png;base64," + base64.b64encode(bytes(1500)).decode()
OTHER = "data:image/png;base64," + base64.b64encode(b"x" * 10).decode()


async def embed(http: aiohttp.ClientSession, emulator: Emulator, dialect: str = "models", **body: Any) -> Any:
    status, answer, _ = await ask(http, emulator, {"model": "m", **body}, dialect, "embeddings")
    assert status == 200, answer
    return answer


def near(one: list[float], other: list[float]) -> float:
    return math.sumprod(one, other) if hasattr(math, "sumprod") else sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_texts(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    answer = await embed(http, emulator, dialect, input=["red fox", "red fox", "other"])
    assert answer["object"] == "list"
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    first, second, third = (row["embedding"] for row in answer["data"])
    assert first == second != third
    assert len(first) == 256
    assert math.hypot(*first) == pytest.approx(1, abs=1e-6)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert answer["model"] == ("emulator/my.one" if dialect == "deployment" else "emulator/m")
    assert ("id" in answer) is (dialect in LIKE_MODELS)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_inputs_of_all_kinds(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    one = await embed(http, emulator, dialect, input=[1, 2, 3])
    many = await embed(http, emulator, dialect, input=[[1, 2, 3], [4]])
    assert one["data"][0]["embedding"] == many["data"][0]["embedding"]
    assert (one["usage"]["prompt_tokens"], many["usage"]["prompt_tokens"]) == (3, 4)
    status, answer, _ = await ask(http, emulator, {"model": "m", "input": "hi"}, dialect, "embeddings")
    if dialect in LIKE_MODELS:
        assert (status, answer["detail"]["loc"]) == (422, ["body", "input"])
    else:
        assert len(answer["data"]) == 1


async def test_encodings(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    made = {
        name: (await embed(http, emulator, input=["a fox"], encoding_format=name, dimensions=20))["data"][0][
            "embedding"
        ]
        for name in ("float", "base64", "int8", "uint8", "binary", "ubinary")
    }
    numbers = made["float"]
    assert list(struct.unpack("<20f", base64.b64decode(made["base64"]))) == numbers
    assert max(map(abs, made["int8"])) == 127
    assert [byte - 128 for byte in made["uint8"]] == made["int8"]
    assert all(
        math.copysign(1, byte) == math.copysign(1, number)
        for byte, number in zip(made["int8"], numbers, strict=True)
        if byte
    )
    bits = "".join(f"{byte:08b}" for byte in made["ubinary"])
    assert bits == "".join("1" if number > 0 else "0" for number in numbers) + "0000"
    assert made["binary"] == [byte - 128 for byte in made["ubinary"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": [5, "x"]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": {"image": PNG}}, "input"),
        ({"input": ["x"], "dimensions": 0}, "dimensions"),
        ({"input": ["x"], "dimensions": 10**6}, "dimensions"),
        ({"input": ["x"], "encoding_format": "hex"}, "encoding_format"),
        ({"input": ["x"], "input_type": "poem"}, "input_type"),
    ],
)
async def test_bad_requests(http: aiohttp.ClientSession, emulator: Emulator, body: dict[str, Any], field: str) -> None:
    status, answer, _ = await ask(http, emulator, {"model": "m", **body}, operation="embeddings")
    assert (status, answer["detail"]["loc"]) == (422, ["body", field])
    if field != "input_type":
        status, answer, _ = await ask(http, emulator, {"model": "m", **body}, "openai-v1", "embeddings")
        assert (status, answer["error"]["param"]) == (400, field)


async def test_what_only_some_know(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    await embed(http, emulator, input=["x"], input_type="query")
    for more in ({"input_type": "query"}, {"encoding_format": "int8"}):
        assert (
            await ask(http, emulator, {"model": "m", "input": ["x"], **more}, "openai-v1", "embeddings")
        ).status == 400
    await embed(http, emulator, "openai-v1", input=["x"], user="me")
    status, answer, _ = await ask(http, emulator, {"model": "m", "input": ["x"], "user": "me"}, operation="embeddings")
    assert (status, list(answer)) == (400, ["detail"])


async def test_how_many_may_come_at_once(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    answer = await embed(http, emulator, input=["x"] * 2048, dimensions=1)
    assert len(answer["data"]) == 2048
    for dialect in ("models", "openai-v1"):
        body = {"model": "m", "input": ["x"] * 2049, "dimensions": 1}
        status, refused, _ = await ask(http, emulator, body, dialect, "embeddings")
        assert (status, refused["error"]["message"]) == (400, "Too many inputs. The max number of inputs is 2048.")


async def test_an_empty_text_and_no_model(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    assert (await ask(http, emulator, {"model": "m", "input": ["x", ""]}, operation="embeddings")).status == 400
    assert (await ask(http, emulator, {"input": ["x"]}, operation="embeddings")).status == 400
    assert (await ask(http, emulator, [], operation="embeddings")).status == 400
    assert (await ask(http, emulator, {"input": ["x"]}, "serverless", "embeddings")).body["model"] == "emulator/demo"


async def test_a_model_that_answers_in_another_order(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    straight = await embed(http, emulator, input=["a", "b", "c"])
    shuffled = await embed(http, emulator, input=["a", "b", "c"], model="shuffled")
    assert [row["index"] for row in shuffled["data"]] == [2, 1, 0]
    assert shuffled["data"][::-1] == straight["data"]


@pytest.mark.parametrize("dialect", LIKE_MODELS)
async def test_pictures(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    inputs = [{"image": PNG}, {"image": PNG, "text": "a red fox"}, {"image": OTHER, "text": None}]
    body = {"model": "m", "input": inputs, "dimensions": 64, "input_type": "document"}
    status, answer, _ = await ask(http, emulator, body, dialect, "images/embeddings")
    assert status == 200
    assert answer["usage"] == {"prompt_tokens": 3, "prompt_patches": 5, "total_tokens": 3}
    plain, said, other = (row["embedding"] for row in answer["data"])
    assert len(plain) == 64
    assert near(plain, said) > near(plain, other)


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ([], 422),
        (["x"], 422),
        ([{"text": "x"}], 422),
        ([{"image": PNG, "text": 5}], 422),
        ([{"image": "https://example.com/a.png"}], 400),
        ([{"image": "data:image/png;base64,a"}], 400),
        ([{"image": PNG.replace("image/", "text/")}], 400),
        ([{"image": OTHER}] * 2049, 400),
    ],
)
async def test_bad_pictures(http: aiohttp.ClientSession, emulator: Emulator, inputs: list[Any], status: int) -> None:
    answer = await ask(http, emulator, {"model": "m", "input": inputs}, "serverless", "images/embeddings")
    assert answer.status == status


def test_texts_that_share_words_are_nearer() -> None:
    sentences = ["the red fox sleeps", "the red fox", "red fox dreams of snow", "quarterly revenue fell"]
    first, *others = (vector_of(text, 256) for text in sentences)
    distances = [near(first, other) for other in others]
    assert all(nearer > farther + 0.2 for nearer, farther in pairwise(distances))
    assert abs(distances[-1]) < 0.3
    assert vector_of("a b", 64) != vector_of("b a", 64)
    assert near(vector_of("a b", 64), vector_of("B A", 64)) > 0.9


@settings(deadline=None)
@given(st.text(), st.integers(1, 64))
def test_every_vector_has_length_one(text: str, dimensions: int) -> None:
    vector = vector_of(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)
    assert vector == vector_of(text, dimensions)
    longer = vector_of(text, dimensions * 2)[:dimensions]
    assert [number / math.hypot(*longer) for number in longer] == pytest.approx(vector)
