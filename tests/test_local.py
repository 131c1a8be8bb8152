"""`connect`: the environment's endpoint, or an emulator."""

from __future__ import annotations

import pytest

from inference_async import ClientClosedError
from inference_async.emulator import Emulator
from inference_async.local import connect


async def test_an_emulator_where_no_endpoint_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    async with connect(model="any") as client:
        assert client.endpoint.dialect == "models"
        assert client.model == "any"
    assert "no endpoint is set, so the built-in emulator answers" in capsys.readouterr().err
    with pytest.raises(ClientClosedError):
        await client.complete("hi")


async def test_the_endpoint_of_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.openai_url)
    monkeypatch.setenv("OPENAI_API_KEY", str(emulator.key))
    notes: list[str] = []
    async with connect(model="any", note=notes.append) as client:
        assert client.endpoint.base == emulator.openai_url
        assert (await client.complete("hi")).text == "hi"
    assert notes == []
