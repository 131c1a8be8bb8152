"""`inference-async info`."""

from __future__ import annotations

import json

import pytest

from inference_async import NotFoundError
from inference_async.cli.info import info
from inference_async.emulator import Emulator


async def test_what_an_endpoint_of_one_model_says(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    assert await info(endpoint=emulator.serverless_url, as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == [
        "model       demo",
        "kind        chat_completion",
        "provider    emulator",
    ]
    assert await info(endpoint=emulator.serverless_url, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["model_name"] == "demo"
    with pytest.raises(NotFoundError, match="an endpoint of many models does not say which one"):
        await info(endpoint=emulator.models_url, as_json=False)
