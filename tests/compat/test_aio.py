"""The clients by the retired SDK's names: what they send, what they give, and how they warn."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, IncompleteReadError

from inference_async import ConfigurationError, UnknownOptionError
from inference_async.compat.azure_ai_inference.aio import (
    ChatCompletionsClient,
    EmbeddingsClient,
    ImageEmbeddingsClient,
    load_client,
)
from inference_async.compat.azure_ai_inference.models import UserMessage
from inference_async.emulator import Emulator, FaultServer, Script
from tests.support import RawServer, json_reply

KEY = "a-key-of-some-length"
TOKEN = "an-entra-token-of-some-length"
HI: list[Any] = [UserMessage("hi")]

# The clients warn that they are deprecated; that they do, and when, is tested where it says so.
deprecated = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Credential:
    """A credential of azure-identity's shape."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self._failure = failure

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        self.scopes += scopes
        if self._failure is not None:
            raise self._failure
        return type("AccessToken", (), {"token": TOKEN, "expires_on": 2**33})


def chats(url: str, **keywords: Any) -> ChatCompletionsClient:
    """A client with the key."""
    return ChatCompletionsClient(url, AzureKeyCredential(KEY), **keywords)


async def read(client: ChatCompletionsClient, take: Callable[[str], object] = bool) -> None:
    """Ask for a stream, and read it to its end."""
    async for update in await client.complete(messages=HI, stream=True):
        take(update.choices[0].delta.content or "")


@pytest.mark.parametrize("client", [ChatCompletionsClient, EmbeddingsClient, ImageEmbeddingsClient])
def test_making_a_client_warns_the_program_once(client: Callable[..., Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client("http://localhost/models", AzureKeyCredential(KEY))
    assert [(row.category, row.filename) for row in caught] == [(DeprecationWarning, __file__)]
    assert "inference_async.InferenceClient" in str(caught[0].message)


KINDS = {
    "chat-completion": ChatCompletionsClient,
    "embeddings": EmbeddingsClient,
    "image_embeddings": ImageEmbeddingsClient,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_load_client_makes_the_client_of_the_model_and_warns_once(kind: str) -> None:
    info = {"model_name": "m", "model_type": kind, "model_provider_name": "p"}
    async with RawServer(lambda connection: connection.send(json_reply(info))) as server:
        with pytest.warns(DeprecationWarning, match="the native way is") as caught:
            client = await load_client(server.url, AzureKeyCredential(KEY), model="m", read_timeout=5)
        async with client:
            assert type(client) is KINDS[kind]
    assert [row.filename for row in caught] == [__file__]
    assert server.requests[0][0].startswith(b"GET /info?api-version=2024-05-01-preview ")


@deprecated
async def test_there_is_no_client_for_every_model() -> None:
    info = {"model_name": "m", "model_type": "audio_generation", "model_provider_name": "p"}
    async with RawServer(lambda connection: connection.send(json_reply(info))) as server:
        with pytest.raises(ValueError, match="'audio_generation', for which there is no client"):
            await load_client(server.url, AzureKeyCredential(KEY))


@deprecated
async def test_a_key_goes_in_both_headers_and_may_be_replaced() -> None:
    credential = AzureKeyCredential(KEY)
    async with FaultServer() as server, ChatCompletionsClient(server.url, credential) as client:
        await client.complete(messages=HI)
        credential.update("another-key")
        await client.complete(messages=HI)
    sent = [(row.headers["api-key"], row.headers["authorization"]) for row in server.requests]
    assert sent == [(KEY, f"Bearer {KEY}"), ("another-key", "Bearer another-key")]


@deprecated
def test_of_azures_hosts_the_header_of_the_key_is_known() -> None:
    client = ChatCompletionsClient("https://name.services.ai.azure.com/models", AzureKeyCredential(KEY))
    assert client._call({})["headers"] is None
    assert client._inner.endpoint.key_header == "api-key"


@deprecated
async def test_an_empty_key_stands_for_one_among_the_headers() -> None:
    async with Emulator(key=KEY, pace=0) as emulator:
        headers = {"api-key": KEY}
        async with ChatCompletionsClient(emulator.models_url, AzureKeyCredential(""), headers=headers) as client:
            answer = await client.complete(messages=HI, model="m")
    assert answer.choices[0].message.content == "hi"


@deprecated
@pytest.mark.parametrize(
    ("scopes", "asked"),
    [
        (None, "https://cognitiveservices.azure.com/.default"),
        (["https://ml.azure.com/.default"], "https://ml.azure.com/.default"),
    ],
    ids=["as the endpoint takes it", "as it is given"],
)
async def test_entra(scopes: list[str] | None, asked: str) -> None:
    credential = Credential()
    async with (
        Emulator(key=None, pace=0, tokens={TOKEN}) as emulator,
        ChatCompletionsClient(emulator.models_url, credential, credential_scopes=scopes) as client,
    ):
        answer = await client.complete(messages=HI, model="m")
    assert answer.choices[0].message.content == "hi"
    assert credential.scopes == [asked]


@deprecated
@pytest.mark.parametrize("failure", [ClientAuthenticationError("no token"), LookupError("no token")], ids=repr)
async def test_what_a_credential_raises_comes_as_it_is(failure: Exception) -> None:
    async with ChatCompletionsClient("http://localhost:9/models", Credential(failure)) as client:
        with pytest.raises(type(failure)) as caught:
            await client.complete(messages=HI, model="m")
    assert caught.value is failure


@deprecated
async def test_a_credential_without_a_token() -> None:
    class Useless:
        async def get_token(self, *scopes: str) -> str:
            return TOKEN

    useless: Any = Useless()
    async with ChatCompletionsClient("http://localhost:9/models", useless) as client:
        with pytest.raises(ClientAuthenticationError, match=r"expected one with \.token"):
            await client.complete(messages=HI, model="m")


@deprecated
async def test_a_cut_stream_is_an_error_that_holds_what_had_arrived() -> None:
    async with FaultServer("cut-in-event") as server, chats(server.url) as client:
        texts: list[str] = []
        with pytest.raises(IncompleteReadError) as caught:
            await read(client, texts.append)
    cause: Any = caught.value.__cause__
    assert "".join(texts) == cause.partial.text == "Grüße aus"


@deprecated
async def test_an_error_inside_a_stream_is_raised() -> None:
    async with FaultServer("error-object") as server, chats(server.url) as client:
        with pytest.raises(HttpResponseError) as caught:
            await read(client)
    assert caught.value.error is not None
    assert caught.value.error.code == "engine_failed"


@deprecated
async def test_every_update_has_choices_or_usage() -> None:
    """What content safety says of the prompt comes alone, and the retired SDK kept it to itself."""
    async with (
        Emulator(Script.from_json(b'{"annotate": true, "rules": []}'), key=KEY, pace=0) as emulator,
        chats(emulator.models_url, model="m") as client,
    ):
        updates = [update async for update in await client.complete(messages=HI, stream=True)]
    assert all(update.choices for update in updates)
    assert updates[-1].usage is not None
    assert any("content_filter_results" in update.choices[0] for update in updates)


@deprecated
@pytest.mark.parametrize("extras", [None, {"stream_options": {"include_usage": True}}], ids=["unasked", "asked"])
async def test_usage_is_asked_for_only_by_the_program(extras: dict[str, Any] | None) -> None:
    async with Emulator(key=KEY, pace=0) as emulator, chats(emulator.openai_url, model="m") as client:
        stream = await client.complete(messages=HI, stream=True, model_extras=extras)
        updates = [update async for update in stream]
    assert [update.choices == [] for update in updates][-1] == bool(extras)
    assert (updates[-1].usage is not None) == bool(extras)


@deprecated
async def test_none_takes_the_default_of_the_client() -> None:
    async with FaultServer() as server, chats(server.url, temperature=0.5, seed=1) as client:
        await client.complete(messages=HI, temperature=None, seed=2, model_extras={})
    assert json.loads(server.requests[0].body) == {
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "seed": 2,
    }


@deprecated
async def test_an_answer_goes_back_without_nulls_but_for_its_content() -> None:
    async with FaultServer() as server, chats(server.url) as client:
        answer = await client.complete(messages=HI)
        message = answer.choices[0].message
        assert message["tool_calls"] is None
        calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}], "refusal": None}
        await client.complete(messages=[*HI, message, calls])
    assert json.loads(server.requests[1].body)["messages"][1:] == [
        {"role": "assistant", "content": "Grüße aus Köln."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ]


@deprecated
async def test_the_keywords_of_a_call_are_stronger_than_those_of_the_client() -> None:
    async with FaultServer("status-503", "fine") as server, chats(server.url, retry_total=0) as client:
        with pytest.raises(HttpResponseError):
            await client.complete(messages=HI)
    assert len(server.requests) == 1
    async with FaultServer("status-503", "fine") as server:
        client = ChatCompletionsClient(server.url, AzureKeyCredential(KEY), retry_total=0, headers={"x-a": "1"})
        async with client:
            await client.complete(messages=HI, retry_total=1, retry_backoff_factor=0, headers={"X-B": "2"})
    assert [(row.headers["x-a"], row.headers["x-b"]) for row in server.requests] == [("1", "2")] * 2


@deprecated
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "of type list"),
        ([UserMessage("hi")], "of type list"),
        ({"messages": []}, "empty list of messages"),
    ],
    ids=["half", "a list in bytes", "messages", "no messages"],
)
async def test_a_body_that_cannot_be_sent(body: Any, words: str) -> None:
    async with ChatCompletionsClient("http://localhost:9/models", AzureKeyCredential(KEY)) as client:
        with pytest.raises(ConfigurationError, match=words):
            await client.complete(body)


@deprecated
@pytest.mark.parametrize("client", [ChatCompletionsClient, EmbeddingsClient], ids=["complete", "embed"])
async def test_what_a_call_is_about_is_required(client: Any) -> None:
    async with client("http://localhost:9/models", AzureKeyCredential(KEY)) as made:
        call = made.complete if client is ChatCompletionsClient else made.embed
        for keywords in ({}, {"body": {"model": "m"}}):
            with pytest.raises(TypeError, match="missing required argument"):
                await call(**keywords)


@deprecated
@pytest.mark.parametrize(
    ("endpoint", "credential", "keywords", "error"),
    [
        (None, AzureKeyCredential(KEY), {}, ConfigurationError),
        ("http://localhost/models", None, {}, ConfigurationError),
        ("localhost/models", AzureKeyCredential(KEY), {}, ConfigurationError),
        ("http://elsewhere.example/models", AzureKeyCredential(KEY), {}, ConfigurationError),
        ("http://localhost/models", AzureKeyCredential(KEY), {"dimensions": 3}, UnknownOptionError),
        ("http://localhost/models", AzureKeyCredential(KEY), {"transport": 3}, UnknownOptionError),
    ],
    ids=["no endpoint", "no credential", "no scheme", "plain http", "an option of others", "not to be had"],
)
def test_a_client_that_cannot_be_made(endpoint: Any, credential: Any, keywords: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ChatCompletionsClient(endpoint, credential, **keywords)


@deprecated
@pytest.mark.parametrize("fault", ["status-401", "status-503", "close-unanswered", "cut-in-event", "shape-list"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_no_frame_of_an_error_shows_the_key(fault: str, *, stream: bool) -> None:
    async with FaultServer(fault) as server, chats(server.url, retry_total=0) as client:
        with pytest.raises(AzureError) as caught:
            await (read(client) if stream else client.complete(messages=HI))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(shown.format())


def test_who_looks_for_a_synchronous_client_is_told() -> None:
    with pytest.raises(ImportError, match=r"no synchronous clients here; .*\.aio\.EmbeddingsClient"):
        exec("from inference_async.compat.azure_ai_inference import EmbeddingsClient")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from inference_async.compat.azure_ai_inference import Nothing")
