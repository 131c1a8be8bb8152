"""`inference-async doctor`: what it understands, and what it makes of refusals."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inference_async import ConfigurationError, Endpoint, InferenceClient, InferenceError
from inference_async.cli.doctor import Asked, _print_rows, diagnosis, doctor
from inference_async.emulator import Emulator, Script
from inference_async.wire.response import error_from
from tests.identity import VARIABLES, Entra, Model

V1 = Endpoint.parse("https://r.services.ai.azure.com/openai/v1")
MODELS = Endpoint.parse("https://r.services.ai.azure.com/models")


def refusal(status: int, message: str = "m") -> InferenceError:
    body = b'{"error": {"message": "%b"}}' % message.encode()
    return error_from(status=status, headers={}, body=body, url="https://r.services.ai.azure.com/x", secrets=("key-1",))


async def test_an_endpoint_given(capsys: pytest.CaptureFixture[str]) -> None:
    code = await doctor(Asked("https://r.openai.azure.com/openai/deployments/d/chat/completions"))
    said = capsys.readouterr().out
    assert code == 1, "a key is needed"
    for words in (
        "endpoint from       the argument",
        "deployment: Azure OpenAI with dated versions",
        "https://r.openai.azure.com/openai/deployments/d/chat/completions",
        "2024-10-21",
        "none is set, and none is sent",
        "problem: got no credential for r.openai.azure.com: pass --entra, or set AZURE_INFERENCE_CREDENTIAL",
        "would not be used; --entra takes one in place of a key",
        "not needed",
    ):
        assert words in said


async def test_the_environments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AZURE_AI_CHAT_ENDPOINT", MODELS.base)
    monkeypatch.setenv("AZURE_AI_CHAT_KEY", "secret-key-7")
    assert await doctor(Asked()) == 1
    said = capsys.readouterr().out
    assert "endpoint from       AZURE_AI_CHAT_ENDPOINT" in said
    assert "a key               is set, and would be used" in said
    assert "problem: no model is named: pass --model" in said
    assert "secret-key-7" not in said


async def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator(pace=0, tokens={"secret-token-7"}) as emulator:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", emulator.url)
        monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "secret-token-7")
        assert await doctor(Asked(model="m", call=True)) == 0
    said = capsys.readouterr().out
    assert "AZURE_OPENAI_AD_TOKEN, and would be used" in said
    assert "the call succeeded: emulator/m" in said
    assert "secret-token-7" not in said


async def test_a_call_that_succeeds(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    assert await doctor(Asked(emulator.openai_url, model="m", call=True)) == 0
    assert "the call succeeded: emulator/m answered in" in capsys.readouterr().out


async def test_a_call_that_fails(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "wrong-key")
    assert await doctor(Asked(emulator.models_url, model="m", call=True)) == 1
    said = capsys.readouterr().out
    assert "the call failed: got 401" in said
    assert "a key of another resource" in said
    assert "wrong-key" not in said


@pytest.mark.parametrize(
    ("url", "words", "code"),
    [
        (MODELS.base, "a token             would be used, of DefaultAzureCredential", 0),
        ("http://localhost/v1", "a token             cannot be had: no scope is known", 1),
    ],
)
async def test_a_token_in_place_of_a_key(
    url: str, words: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "secret-key-7")
    assert await doctor(Asked(url, model="m", entra=True)) == code
    said = capsys.readouterr().out
    assert words in said
    assert "a key               would not be used" in said


async def test_a_call_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    async with Entra(tmp_path) as entra, Model() as model:
        for name, value in entra.app_service.items():
            monkeypatch.setenv(name, value)
        assert await doctor(Asked(f"{model.url}/models", model="m", call=True, entra=True)) == 0
    assert "the call succeeded" in capsys.readouterr().out
    assert model.bearers == ["secret-token-1"]


@pytest.mark.parametrize(
    ("error", "endpoint", "sent", "words"),
    [
        (refusal(401, "audience is incorrect"), V1, "token", "this endpoint takes https://ai.azure.com/.default"),
        (refusal(401), V1, "token", "the resource's custom subdomain"),
        (refusal(401), V1, "key", "a key in another header than api-key"),
        (refusal(401), V1, "nothing", "set AZURE_INFERENCE_CREDENTIAL"),
        (refusal(403), V1, "key", "Cognitive Services User"),
        (refusal(404), MODELS, "key", "try /openai/v1 of the same host"),
        (refusal(404), V1, "key", "--model is that name"),
        (refusal(410), MODELS, "key", "retired"),
        (refusal(400, "API version not supported"), V1, "key", "--api-version"),
    ],
)
def test_what_a_refusal_usually_comes_from(error: InferenceError, endpoint: Endpoint, sent: Any, words: str) -> None:
    assert any(words in line for line in diagnosis(error, endpoint, sent))


@pytest.mark.parametrize("sent", ["token", "nothing"])
def test_what_has_no_key_is_not_told_of_keys(sent: Any) -> None:
    assert not any("another resource" in line for line in diagnosis(refusal(401), V1, sent))


def test_a_refusal_it_knows_nothing_about() -> None:
    assert diagnosis(refusal(500), V1, "key") == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("'secret-key-7'", "problem: got a key in quotes"),
        ("Bearer secret-key-7", "problem: got a key that begins with 'Bearer '"),
    ],
)
async def test_a_key_that_cannot_be_one(
    key: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", key)
    assert await doctor(Asked(V1.base, model="m", call=True)) == 1
    said = capsys.readouterr().out
    assert words in said
    assert "secret-key-7" not in said
    assert "the call" not in said, "nothing was sent"


async def test_plain_http_to_another_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "secret-key-7")
    assert await doctor(Asked("http://r.services.ai.azure.com/models", model="m")) == 1
    assert "which would go over plain http" in capsys.readouterr().out


async def test_the_environment_is_read_as_the_client_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", " ")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "secret-key-7")
    assert await doctor(Asked(model="m")) == 1
    said = capsys.readouterr().out
    assert "endpoint from       AZURE_OPENAI_ENDPOINT" in said
    assert "a key               none is set" in said
    assert "problem: got no credential for r.openai.azure.com" in said
    with pytest.raises(ConfigurationError, match=r"got no credential for r\.openai\.azure\.com"):
        InferenceClient()


async def test_what_the_url_says_can_be_overruled(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    front = Asked(emulator.front_url, model="m", call=True, key_header="Ocp-Apim-Subscription-Key")
    assert await doctor(front) == 0
    assert await doctor(front._replace(key_header=None)) == 1
    assert await doctor(Asked(emulator.serverless_url, model="m", call=True, dialect="serverless")) == 0
    assert await doctor(Asked(emulator.models_url, model="m", call=True, api_version="")) == 1
    said = capsys.readouterr().out
    assert "a key goes in       ocp-apim-subscription-key" in said
    assert "serverless: one model, serverless" in said
    assert "api-version         none is sent" in said


async def test_no_identity_is_told_in_short_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoCredential:
        def __init__(self) -> None:
            pass

        async def get_token_info(self, *scopes: str, **options: Any) -> None:
            from azure.core.exceptions import ClientAuthenticationError

            raise ClientAuthenticationError("DefaultAzureCredential failed:\n\tEnvironment: not set\n\tCLI: not found")

        async def close(self) -> None:
            pass

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", NoCredential)
    assert await doctor(Asked("http://127.0.0.1:1/models", model="m", call=True, entra=True)) == 1
    said = capsys.readouterr().out.splitlines()
    failed = next(index for index, line in enumerate(said) if line.startswith("the call failed: "))
    assert "the cause of this one" not in said[failed]
    assert said[failed + 1 : failed + 3] == ["    Environment: not set", "    CLI: not found"]


def test_on_a_terminal_values_are_wrapped_beside_their_names() -> None:
    console = Console(width=50, force_terminal=True, color_system=None, file=io.StringIO())
    _print_rows({"chat": "https://r.services.ai.azure.com/models/chat/completions", "a": "some words " * 8}, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is a StringIO
    assert all(len(line) <= 50 for line in lines)
    assert lines[1].startswith("      "), "under its beginning"


async def test_the_variables_of_the_set_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    assert await doctor(Asked()) == 1
    said = capsys.readouterr().out
    assert "or set AZURE_OPENAI_API_KEY" in said
    assert "or set AZURE_OPENAI_DEPLOYMENT" in said
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret-key-7")
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT", "d")
    assert await doctor(Asked()) == 0


async def test_a_model_that_takes_no_limit_is_asked_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script.from_json(b'{"models": {"o9": {"unsupported": ["max_tokens"]}}}')
    async with Emulator(script, pace=0) as emulator:
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
        assert await doctor(Asked(emulator.openai_url, model="o9", call=True)) == 0
    assert "the call succeeded" in capsys.readouterr().out
