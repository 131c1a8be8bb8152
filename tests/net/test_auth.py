"""Credentials of every shape, and what becomes of bad ones."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, NamedTuple

import pytest

from inference_async import ConfigurationError, CredentialError, Endpoint
from inference_async.net.auth import authoriser
from inference_async.wire.request import Secret

MODELS = Endpoint.parse("https://x.services.ai.azure.com/models")
V1 = Endpoint.parse("https://x.services.ai.azure.com/openai/v1")
GENERIC = Endpoint.parse("https://example.test/v1")


class Token(NamedTuple):
    token: str
    expires_on: float


class Credential:
    """As azure.identity.aio's, with a token that counts."""

    def __init__(self, lives: float = 3600.0) -> None:
        self.scopes: list[str] = []
        self._lives = lives

    async def get_token(self, *scopes: str) -> Token:
        self.scopes.extend(scopes)
        await asyncio.sleep(0.01)
        return Token(f"token-{len(self.scopes)}", time.time() + self._lives)


class Key:
    def __init__(self, key: str) -> None:
        self.key = key


async def test_nothing() -> None:
    assert await authoriser(None, GENERIC).header() is None


@pytest.mark.parametrize(
    ("endpoint", "header"),
    [(MODELS, ("api-key", "k1")), (V1, ("api-key", "k1")), (GENERIC, ("authorization", "Bearer k1"))],
)
async def test_a_key_goes_into_the_header_of_the_endpoint(endpoint: Endpoint, header: tuple[str, str]) -> None:
    assert await authoriser("k1", endpoint).header() == header
    assert await authoriser(Key("k1"), endpoint).header() == header


async def test_a_key_object_is_read_at_each_call() -> None:
    key = Key("k1")
    auth = authoriser(key, MODELS)
    key.key = "k2"
    assert await auth.header() == ("api-key", "k2")
    key.key = "k\n3"
    with pytest.raises(ConfigurationError, match="line break"):
        await auth.header()


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [(MODELS, "https://cognitiveservices.azure.com/.default"), (V1, "https://ai.azure.com/.default")],
)
async def test_a_token_is_asked_for_with_the_scope_of_the_endpoint(endpoint: Endpoint, scope: str) -> None:
    credential = Credential()
    assert await authoriser(credential, endpoint).header() == ("authorization", "Bearer token-1")
    assert credential.scopes == [scope]


async def test_the_scope_can_be_given() -> None:
    credential = Credential()
    await authoriser(credential, GENERIC, scope="mine").header()
    assert credential.scopes == ["mine"]
    with pytest.raises(ConfigurationError, match="say scope="):
        authoriser(credential, GENERIC)


async def test_a_token_is_kept_and_asked_for_once_however_many_wait() -> None:
    credential = Credential()
    auth = authoriser(credential, MODELS)
    headers = await asyncio.gather(*(auth.header() for _ in range(20)))
    assert set(headers) == {("authorization", "Bearer token-1")}
    assert await auth.header() == ("authorization", "Bearer token-1")
    assert len(credential.scopes) == 1


async def test_a_token_is_replaced_before_it_ends() -> None:
    auth = authoriser(Credential(lives=200), MODELS)
    assert await auth.header() == ("authorization", "Bearer token-1")
    assert await auth.header() == ("authorization", "Bearer token-2")


async def test_a_blocking_credential_does_not_block_the_loop() -> None:
    threads = []

    class Blocking:
        def get_token(self, *scopes: str) -> Token:
            threads.append(threading.current_thread())
            return Token("sync", time.time() + 3600)

    assert await authoriser(Blocking(), MODELS).header() == ("authorization", "Bearer sync")
    assert threads[0] is not threading.main_thread()


async def test_a_credential_that_fails_is_an_error_of_ours() -> None:
    class Broken:
        async def get_token(self, *scopes: str) -> Token:
            raise RuntimeError("secret inside")

    with pytest.raises(CredentialError, match="Broken gave no token for https://cognitiveservices") as caught:
        await authoriser(Broken(), MODELS).header()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "secret inside" not in str(caught.value)


async def test_providers() -> None:
    async def later() -> str:
        return "t2"

    threads = []

    def blocking() -> str:
        threads.append(threading.current_thread())
        return "t1"

    assert await authoriser(blocking, MODELS).header() == ("authorization", "Bearer t1")
    assert threads[0] is not threading.main_thread(), "a provider that may block does not block the loop"
    assert await authoriser(later, MODELS).header() == ("authorization", "Bearer t2")

    def broken() -> str:
        raise KeyError("x")

    with pytest.raises(CredentialError, match="KeyError"):
        await authoriser(broken, MODELS).header()
    not_text: Any = lambda: 7  # noqa: E731
    with pytest.raises(ConfigurationError, match="token of type int"):
        await authoriser(not_text, MODELS).header()


def test_azure_cores_own_key_credential() -> None:
    from azure.core.credentials import AzureKeyCredential

    auth = authoriser(AzureKeyCredential("k1"), MODELS)
    assert asyncio.run(auth.header()) == ("api-key", "k1")


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("abc")
    assert repr(secret) == "'[secret]'"
    assert repr({"api-key": secret}) == "{'api-key': '[secret]'}"
    assert f"{secret}" == "abc"
