"""Keys, tokens and claims challenges, over HTTP."""

from __future__ import annotations

import base64
import json

import aiohttp
import pytest

from inference_async.emulator import Emulator
from tests.emulator.asking import DIALECTS, ask, key_of, user

HI = user("hi")
CLAIMS = '{"access_token": {"nbf": {"essential": true, "value": "1700000000"}}}'
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@each_dialect
async def test_the_key_goes_in_the_header_of_the_dialect(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str
) -> None:
    takers = {
        "api-key": ("models", "openai-v1", "deployment"),
        "Authorization": ("models", "openai-v1", "serverless", "managed", "generic"),
        "Ocp-Apim-Subscription-Key": ("front",),
    }
    for header, dialects in takers.items():
        value = f"Bearer {emulator.key}" if header == "Authorization" else str(emulator.key)
        answer = await ask(http, emulator, HI, dialect, headers={header: value})
        assert answer.status == (200 if dialect in dialects else 401), header
    both = {"api-key": str(emulator.key), "Authorization": f"Bearer {emulator.key}"}
    assert (await ask(http, emulator, HI, dialect, headers=both)).status == (401 if dialect == "front" else 200)


@each_dialect
async def test_no_key_and_a_wrong_key(http: aiohttp.ClientSession, emulator: Emulator, dialect: str) -> None:
    for headers in ({}, key_of(dialect, "wrong")):
        status, body, _ = await ask(http, emulator, HI, dialect, headers=headers)
        assert status == 401
        assert "wrong" not in json.dumps(body).replace("wrong API endpoint", "")


@pytest.mark.parametrize(
    ("dialect", "key", "words"),
    [
        ("deployment", "wrong", "invalid subscription key or wrong API endpoint"),
        ("serverless", None, "Auth token must be passed as a header called Authorization"),
        ("serverless", "wrong", "Invalid auth token"),
        ("managed", "wrong", "audience is incorrect (https://ml.azure.com)"),
        ("generic", "wrong", "Incorrect API key provided"),
        ("front", None, "due to missing subscription key"),
        ("front", "wrong", "due to invalid subscription key"),
    ],
)
async def test_each_says_it_in_its_own_words(
    http: aiohttp.ClientSession, emulator: Emulator, dialect: str, key: str | None, words: str
) -> None:
    headers = key_of(dialect, key) if key else {}
    _, body, head = await ask(http, emulator, HI, dialect, headers=headers)
    assert words in json.dumps(body)
    assert ("WWW-Authenticate" in head) is (dialect == "front")


@each_dialect
async def test_tokens_are_taken_beside_the_key(http: aiohttp.ClientSession, dialect: str) -> None:
    async with Emulator(pace=0, tokens={"good"}) as emulator:
        assert (await ask(http, emulator, HI, dialect)).status == 200
        assert (await ask(http, emulator, HI, dialect, headers={"Authorization": "Bearer good"})).status == 200
        assert (await ask(http, emulator, HI, dialect, headers={"Authorization": "bearer good"})).status == 200
        assert (await ask(http, emulator, HI, dialect, headers={"Authorization": "Basic good"})).status == 401
        assert (await ask(http, emulator, HI, dialect, headers={"api-key": "good"})).status == 401


@pytest.mark.parametrize(
    ("dialect", "audience"),
    [
        ("models", "https://cognitiveservices.azure.com"),
        ("deployment", "https://cognitiveservices.azure.com"),
        ("openai-v1", "https://ai.azure.com"),
        ("managed", "https://ml.azure.com"),
    ],
)
async def test_a_wrong_token_is_told_the_audience(http: aiohttp.ClientSession, dialect: str, audience: str) -> None:
    async with Emulator(key=None, pace=0, tokens=lambda token: token.startswith("ok-")) as emulator:
        assert (await ask(http, emulator, HI, dialect, headers={"Authorization": "Bearer ok-1"})).status == 200
        status, body, _ = await ask(http, emulator, HI, dialect, headers={"Authorization": "Bearer no"})
        assert (status, body["statusCode"]) == (401, 401)
        assert f"audience is incorrect ({audience})" in body["message"]
        assert (await ask(http, emulator, HI, dialect, headers={})).status == 401


@each_dialect
async def test_a_claims_challenge(http: aiohttp.ClientSession, dialect: str) -> None:
    async with Emulator(pace=0, tokens=["old", "new"], challenge={"old": CLAIMS}) as emulator:
        status, _, headers = await ask(http, emulator, HI, dialect, headers={"Authorization": "Bearer old"})
        assert status == 401
        words = headers["WWW-Authenticate"]
        assert words.startswith('Bearer realm="", authorization_uri="https://login.microsoftonline.com/')
        assert 'error="insufficient_claims"' in words
        claims = words.partition('claims="')[2].removesuffix('"')
        assert json.loads(base64.b64decode(claims)) == json.loads(CLAIMS)
        assert (await ask(http, emulator, HI, dialect, headers={"Authorization": "Bearer new"})).status == 200


async def test_without_key_and_tokens_everybody_may_ask_but_those_challenged(http: aiohttp.ClientSession) -> None:
    async with Emulator(key=None, pace=0, challenge={"old": "{}"}) as emulator:
        assert (await ask(http, emulator, HI, headers={})).status == 200
        assert (await ask(http, emulator, HI, headers={"Authorization": "Bearer any"})).status == 200
        assert (await ask(http, emulator, HI, headers={"Authorization": "Bearer old"})).status == 401
