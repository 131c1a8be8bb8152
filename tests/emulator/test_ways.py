"""Every dialect on one server: where it is, what it needs, which manners it has."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from inference_async.emulator import Emulator
from tests.emulator.asking import DIALECTS, LIKE_MODELS, VERSION, ask, key_of, params_of, text_of, url_of, user

HI = user("hi there")
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@each_dialect
async def test_chat_whole_and_streamed(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    status, answer, _ = await ask(http, emulator, HI, dialect)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "hi there")
    assert answer["model"] == ("emulator/my.one" if dialect == "deployment" else "emulator/m")
    status, chunks, _ = await ask(http, emulator, {**HI, "stream": True}, dialect)
    assert (status, text_of(chunks)) == (200, "hi there")
    assert ("usage" in chunks[-1]) is (dialect in LIKE_MODELS), "unasked only where /models has it so"


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name not in LIKE_MODELS])
async def test_usage_in_a_stream_that_asks_for_it(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str
) -> None:
    asked = {**HI, "stream": True, "stream_options": {"include_usage": True}}
    _, chunks, _ = await ask(http, emulator, asked, dialect)
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 4)


@each_dialect
async def test_unknown_fields(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    status, body, _ = await ask(http, emulator, {**HI, "frob": 1}, dialect)
    if dialect == "generic":
        assert status == 200
        return
    assert status == 400
    assert ("detail" in body) is (dialect in LIKE_MODELS)
    headers = {**key_of(dialect, emulator.key), "extra-parameters": "pass-through"}
    status, _, _ = await ask(http, emulator, {**HI, "frob": 1}, dialect, headers=headers)
    assert status == (200 if dialect in LIKE_MODELS else 400)


@each_dialect
async def test_values_of_the_wrong_kind(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    status, body, _ = await ask(http, emulator, {**HI, "temperature": "warm"}, dialect)
    if dialect in LIKE_MODELS:
        assert (status, body["detail"]["loc"]) == (422, ["body", "temperature"])
    else:
        assert (status, body["error"]["param"]) == (400, "temperature")


@each_dialect
async def test_the_model_may_be_left_out_where_there_is_only_one(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str
) -> None:
    status, body, _ = await ask(http, emulator, {"messages": HI["messages"]}, dialect)
    if dialect in ("serverless", "managed", "deployment"):
        assert (status, body["model"]) == (200, "emulator/my.one" if dialect == "deployment" else "emulator/demo")
    else:
        assert (status, body["error"]["code"]) == (400, "no_model_name")


@pytest.mark.parametrize(
    ("dialect", "version", "status"),
    [
        ("deployment", None, 400),
        ("deployment", "2024-10-21", 200),
        ("deployment", "2025-04-01-preview", 200),
        ("deployment", "v1", 400),
        ("serverless", None, 200),
        ("serverless", "2024-05-01-preview", 200),
        ("serverless", "2023-01-01", 400),
        ("managed", None, 200),
        ("managed", "2024-05-01-preview", 200),
        ("generic", None, 200),
        ("generic", "anything", 200),
        ("front", None, 200),
        ("front", "2024-05-01-preview", 400),
    ],
)
async def test_api_versions(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, version: str | None, status: int
) -> None:
    params = {"api-version": version} if version else {}
    assert (await ask(http, emulator, HI, dialect, params=params)).status == status


async def test_the_deployment_that_answers_is_named(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    _, _, headers = await ask(http, emulator, HI, "deployment")
    assert headers["x-ms-deployment-name"] == "my.one"
    asked = {**key_of("managed", emulator.key), "azureml-model-deployment": "blue"}
    _, _, headers = await ask(http, emulator, HI, "managed", headers=asked)
    assert headers["x-ms-deployment-name"] == "blue"
    _, _, headers = await ask(http, emulator, HI, "managed")
    assert "x-ms-deployment-name" not in headers


async def test_the_name_of_a_deployment_is_quoted(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    url = f"{emulator.deployment_url('a b')}/chat/completions"
    async with http.post(
        url, params=params_of("deployment"), headers={"api-key": str(emulator.key)}, json=HI
    ) as response:
        assert (await response.json())["model"] == "emulator/a b"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/serverless/v1", {}),
        ("/apim/models", VERSION),
        ("/apim/openai/deployments/d", {"api-version": "2024-10-21"}),
    ],
)
async def test_further_addresses(
    http: aiohttp.ClientSession, emulator: Emulator, path: str, params: dict[str, str]
) -> None:
    headers = key_of("front" if path.startswith("/apim") else "serverless", emulator.key)
    async with http.post(f"{emulator.url}{path}/chat/completions", params=params, headers=headers, json=HI) as response:
        assert response.status == 200


@each_dialect
async def test_model_info_where_there_is_one_model(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str
) -> None:
    status, body, _ = await ask(http, emulator, dialect=dialect, operation="info")
    if dialect in ("serverless", "managed"):
        assert status == 200
        assert body == {"model_name": "demo", "model_type": "chat_completion", "model_provider_name": "emulator"}
        assert (await ask(http, emulator, dialect=dialect, operation="info", headers={})).status == 401
    else:
        assert status == 404


@pytest.mark.parametrize("dialect", ["openai-v1", "deployment", "generic", "front"])
async def test_pictures_are_embedded_elsewhere(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    assert (await ask(http, emulator, {"model": "m", "input": []}, dialect, "images/embeddings")).status == 404


async def test_all_are_counted(http: aiohttp.ClientSession, emulator: Emulator) -> None:
    for dialect in DIALECTS:
        await ask(http, emulator, HI, dialect)
    await ask(http, emulator, dialect="managed", operation="info")
    assert emulator.requests == len(DIALECTS) + 1


def test_addresses_are_told_apart() -> None:
    emulator: Any = Emulator()
    assert len({url_of(emulator, dialect) for dialect in DIALECTS}) == len(DIALECTS)
