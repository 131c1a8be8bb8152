"""The page on the web, docs/web.md: its services run, and its events are such as are sent."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest

from inference_async import RateLimitError
from inference_async.emulator import Emulator
from tests.examples.serving import ROOT, serving
from tests.support import DONE, chunk, collect, event, scripted, streamed

WEB = ROOT / "docs" / "web.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", WEB.read_text(), re.MULTILINE | re.DOTALL)


async def test_its_services_run_as_they_stand(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", emulator.models_url)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    names: dict[str, Any] = {"__name__": "web"}
    exec(compile("\n".join(blocks("python")), str(WEB), "exec", dont_inherit=True), names)
    apps = ["starlette_app", "fastapi_app", "aiohttp_app"]
    async with names["client"], aiohttp.ClientSession() as session:
        for name, path in [*((app, "/chat") for app in apps), ("starlette_app", "/reported")]:
            async with (
                serving(names[name]) as url,
                session.post(f"{url}{path}", data="How many languages are in the world?") as response,
            ):
                said = await response.text()
                assert response.content_type == "text/event-stream"
                assert said.count("chat.completion.chunk") > 40, said
                assert said.endswith("data: [DONE]\n\n")


async def test_its_events_are_such_as_are_sent() -> None:
    chunks, error = blocks("text")
    client, _ = streamed(event(chunk("Hel")), event(chunk("", "stop")) + DONE)
    sent = await collect(client.stream("hi").sse())
    assert chunks.encode().startswith(sent[0])
    assert ": keep-alive\n\n" in chunks
    assert chunks.endswith("data: [DONE]\n")
    refused = scripted(RateLimitError("slow down", status=429, code="429"))
    assert await collect(refused.stream("hi").sse()) == [error.encode() + b"\n"]
