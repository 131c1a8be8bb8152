"""`inference-async doctor`: what it understands, and what it makes of refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference_async import Endpoint, InferenceError
from inference_async.cli.doctor import diagnosis, doctor
from inference_async.emulator import Emulator
from inference_async.wire.response import error_from
from tests.identity import VARIABLES, Entra, Model

V1 = Endpoint.parse("https://r.services.ai.azure.com/openai/v1")
MODELS = Endpoint.parse("https://r.services.ai.azure.com/models")


def refusal(status: int, message: str = "m") -> InferenceError:
    body = b'{"error": {"message": "%b"}}' % message.encode()
    return error_from(status=status, headers={}, body=body, url="https://r.services.ai.azure.com/x", secrets=("key-1",))


async def test_an_endpoint_given(capsys: pytest.CaptureFixture[str]) -> None:
    code = await doctor("https://r.openai.azure.com/openai/deployments/d/chat/completions", model=None, call=False)
    said = capsys.readouterr().out
    assert code == 0
    for words in (
        "endpoint from       the argument",
        "deployment: Azure OpenAI with dated versions",
        "https://r.openai.azure.com/openai/deployments/d/chat/completions",
        "2024-10-21",
        "is needed, and none is set for this host",
        "would not be used; --entra takes one in place of a key",
        "not needed",
    ):
        assert words in said


async def test_the_environments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AZURE_AI_CHAT_ENDPOINT", MODELS.base)
    monkeypatch.setenv("AZURE_AI_CHAT_KEY", "secret-key-7")
    assert await doctor(None, model=None, call=False) == 0
    said = capsys.readouterr().out
    assert "AZURE_AI_CHAT_ENDPOINT" in said
    assert "is set beside it" in said
    assert "none is set: pass --model" in said
    assert "secret-key-7" not in said


async def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator(pace=0, tokens={"secret-token-7"}) as emulator:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", emulator.url)
        monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "secret-token-7")
        assert await doctor(None, model="m", call=True) == 0
    said = capsys.readouterr().out
    assert "AZURE_OPENAI_AD_TOKEN, and would be used" in said
    assert "the call succeeded: emulator/m" in said
    assert "secret-token-7" not in said


async def test_a_call_that_succeeds(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    assert await doctor(emulator.openai_url, model="m", call=True) == 0
    assert "the call succeeded: emulator/m answered in" in capsys.readouterr().out


async def test_a_call_that_fails(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "wrong-key")
    assert await doctor(emulator.models_url, model="m", call=True) == 1
    said = capsys.readouterr().out
    assert "the call failed: got 401" in said
    assert "a key of another resource" in said
    assert "wrong-key" not in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (MODELS.base, "a token             would be used, of DefaultAzureCredential"),
        ("http://localhost/v1", "a token             cannot be had: no scope is known"),
    ],
)
async def test_a_token_in_place_of_a_key(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "secret-key-7")
    assert await doctor(url, model="m", call=False, entra=True) == 0
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
        assert await doctor(f"{model.url}/models", model="m", call=True, entra=True) == 0
    assert "the call succeeded" in capsys.readouterr().out
    assert model.bearers == ["secret-token-1"]


@pytest.mark.parametrize(
    ("error", "endpoint", "words"),
    [
        (refusal(401, "audience is incorrect"), V1, "this endpoint takes https://ai.azure.com/.default"),
        (refusal(401), V1, "a key in another header than api-key"),
        (refusal(403), V1, "Cognitive Services User"),
        (refusal(404), MODELS, "try /openai/v1 of the same host"),
        (refusal(404), V1, "model= is that name"),
    ],
)
def test_what_a_refusal_usually_comes_from(error: InferenceError, endpoint: Endpoint, words: str) -> None:
    assert any(words in line for line in diagnosis(error, endpoint))


def test_a_refusal_it_knows_nothing_about() -> None:
    assert diagnosis(refusal(500), V1) == []
