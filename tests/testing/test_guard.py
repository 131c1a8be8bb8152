"""Real calls, forbidden."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from inference_async import APIConnectionError, ConfigurationError, InferenceClient, InferenceError
from inference_async.emulator import Emulator
from inference_async.net.detour import DETOUR
from inference_async.testing import RealCallError, ScriptedTransport, completion, forbid_real_calls

URL = "https://elsewhere.invalid/models"


async def streamed(client: InferenceClient) -> object:
    return await client.stream("hi").final()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.complete("hi"),
        streamed,
        lambda client: client.embed("hi"),
        lambda client: client.model_info(),
        lambda client: client.request("GET", "anything"),
    ],
    ids=["complete", "stream", "embed", "model_info", "request"],
)
async def test_every_call_to_another_host(call: Callable[[InferenceClient], Awaitable[Any]]) -> None:
    with forbid_real_calls():
        async with InferenceClient(URL, "secret-key-7", model="m", dialect="models") as client:
            with pytest.raises(
                RealCallError, match=r"a real call to elsewhere\.invalid was about to be made"
            ) as caught:
                await call(client)
    assert isinstance(caught.value, InferenceError)
    assert "forbid_real_calls(allow=[...])" in str(caught.value)
    assert type(pickle.loads(pickle.dumps(caught.value))) is RealCallError


async def test_a_session_of_the_callers() -> None:
    async with (
        aiohttp.ClientSession() as session,
        InferenceClient(URL, "k", dialect="models", session=session) as client,
    ):
        with forbid_real_calls(), pytest.raises(RealCallError):
            await client.complete("hi")


async def test_this_machine_and_what_is_no_network(client: InferenceClient) -> None:
    with forbid_real_calls():
        assert (await client.complete("said back")).text == "said back"
        async with InferenceClient(URL, "k", dialect="models", transport=ScriptedTransport(completion("x"))) as other:
            assert (await other.complete("hi")).text == "x"


async def test_a_host_that_is_allowed() -> None:
    async with InferenceClient(URL, "k", model="m", dialect="models", retries=0) as client:
        with forbid_real_calls(allow=["Elsewhere.invalid"]), pytest.raises(APIConnectionError):
            await client.complete("hi")


async def test_tokens_of_azure_identity(emulator: Emulator) -> None:
    from azure.identity.aio import ClientSecretCredential, get_bearer_token_provider

    credential = ClientSecretCredential("tenant", "client", "secret")
    provider = get_bearer_token_provider(credential, "scope")
    options: dict[str, Any] = {"model": "m", "scope": "api://mine/.default", "retries": 0}
    with forbid_real_calls():
        for each in ("default", credential, provider):
            async with InferenceClient(emulator.models_url, each, **options) as client:
                with pytest.raises(RealCallError, match="a token of Microsoft Entra ID was about") as caught:
                    await client.complete("hi")
            assert "host" not in str(caught.value)
            assert 'forbid_real_calls(allow=["Microsoft Entra ID"])' in str(caught.value)
    await credential.close()
    assert emulator.requests == 0


def test_tokens_that_are_allowed() -> None:
    with forbid_real_calls(allow=["Microsoft Entra ID"]):
        DETOUR.check_tokens_of(None)
    with forbid_real_calls(allow=["entra.microsoft.com"]), pytest.raises(RealCallError):
        DETOUR.check_tokens_of(None)


async def test_a_token_of_the_callers_own() -> None:
    with forbid_real_calls():
        async with (
            Emulator(pace=0, tokens={"token-7"}) as emulator,
            InferenceClient(emulator.models_url, lambda: "token-7", model="m") as client,
        ):
            assert (await client.complete("said back")).text == "said back"


def test_it_ends_once_and_restores_what_was() -> None:
    with forbid_real_calls():
        first = DETOUR.ban
        second = forbid_real_calls(allow=["elsewhere.invalid"])
        assert DETOUR.ban != first
        second.lift()
        second.lift()
        assert DETOUR.ban == first
    assert DETOUR.ban is None
    with forbid_real_calls():
        third = DETOUR.ban
        second.lift()
        assert DETOUR.ban == third, "it ends no other than itself"


def test_one_host_is_no_list_of_hosts() -> None:
    with pytest.raises(ConfigurationError, match="expected a list of hosts"):
        forbid_real_calls(allow="elsewhere.invalid")
    assert DETOUR.ban is None
