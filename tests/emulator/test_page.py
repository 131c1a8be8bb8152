"""The status page: over HTTP, and as a browser shows it."""

from __future__ import annotations

import asyncio
import html
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from inference_async.emulator import Emulator, FaultServer, RateLimit
from inference_async.emulator.page import page_of
from inference_async.emulator.tally import Count, Entry, Status
from tests.emulator.asking import ask, user

EVIL = "<script>document.title='run'</script>&\"'"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_a_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def status(**fields: Any) -> Status:
    counts = dict.fromkeys(
        ("uptime", "requests", "open_requests", "open_streams", "throttled", "cut", "tokens_in", "tokens_out"), 0
    )
    return Status(
        **{"version": "1.2", "answers": "", "limits": [], "faults": [], "counts": [], "last": [], **counts, **fields}
    )


class Page(HTMLParser):
    """The facts, the cells of all rows, and the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.facts: list[str] = []
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self._into: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th", "dt", "dd"):
            self._into = self.rows[-1] if tag in ("td", "th") else self.facts
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data

    def fact(self, name: str) -> list[str]:
        return [value for at, value in zip(self.facts[::2], self.facts[1::2], strict=True) if at == name]


def test_facts() -> None:
    page = Page(
        page_of(
            status(
                uptime=3725.5,
                answers="from a script",
                limits=["6 requests", "7 tokens"],
                faults=["bom", "fine"],
                requests=12345,
                open_requests=3,
                open_streams=2,
                throttled=4,
                tokens_in=1000,
                tokens_out=5,
            )
        )
    )
    assert page.fact("up for") == ["1 h 2 min"]
    assert page.fact("answers") == ["from a script"]
    assert page.fact("limits") == ["6 requests", "7 tokens"]
    assert page.fact("faults") == ["bom, then fine"]
    assert page.fact("requests") == ["12,345, 3 of them open"]
    assert page.fact("open streams") == ["2"]
    assert page.fact("refused with 429") == ["4"]
    assert page.fact("tokens") == ["1,000 in, 5 out"]


@pytest.mark.parametrize(
    ("uptime", "words"), [(0.0, "0 s"), (59.9, "59 s"), (60.0, "1 min 0 s"), (7200.0, "2 h 0 min")]
)
def test_how_long_it_is_up(uptime: float, words: str) -> None:
    assert Page(page_of(status(uptime=uptime))).fact("up for") == [words]


def test_rows() -> None:
    entry = Entry(at=1.0, operation="chat/completions", status=200, model="m", streamed=True, tokens_in=3, seconds=1.5)
    last = [
        entry,
        Entry(at=2.0, operation="no-done", status=200, streamed=True, ended="done"),
        Entry(at=86399.0, operation="x", status=429, ended="done", seconds=0.004),
    ]
    page = Page(page_of(status(counts=[Count("x", 0, 1234)], last=last)))
    assert page.rows == [
        ["operation", "status", "requests"],
        ["x", "no answer", "1,234"],
        ["at", "operation", "model", "status", "seconds", "in", "out"],
        ["00:00:01 UTC", "chat/completions, streamed", "m", "200, open", "", "3", "0"],
        ["00:00:02 UTC", "no-done, streamed", "", "200", "0.00", "", ""],
        ["23:59:59 UTC", "x", "", "429", "0.00", "", ""],
    ]
    assert [attributes for tag, attributes in page.tags if tag == "tr" and attributes] == [{"class": "bad"}]


def test_a_column_for_prompts_only_if_there_are_some() -> None:
    page = Page(page_of(status(last=[Entry(at=0, operation="x", prompt="hi"), Entry(at=0, operation="x")])))
    assert [row[7:] for row in page.rows] == [["prompt"], ["hi"], [""]]


def test_what_others_say_is_text() -> None:
    last = [Entry(at=0, operation=EVIL, model=EVIL, prompt=EVIL)]
    text = page_of(status(answers=EVIL, limits=[EVIL], faults=[EVIL], counts=[Count(EVIL, 200, 1)], last=last))
    assert text.count(html.escape(EVIL)) == 7
    assert "<script" not in text
    assert Page(text).rows[-1][2] == EVIL


def test_it_loads_nothing() -> None:
    tags = Page(page_of(status())).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "img", "iframe", "object"})
    assert [attributes.get("href") for _, attributes in tags if "href" in attributes] == ["data:,", "/status.json"]


async def test_over_http(http: aiohttp.ClientSession) -> None:
    async with Emulator(pace=0, rate_limit=RateLimit(requests=6, tokens=5000)) as emulator:
        for _ in range(2):
            await ask(http, emulator, user("one two", model=EVIL), "openai-v1")
        async with http.get(f"{emulator.url}/") as response:
            assert (response.status, response.content_type, response.charset) == (200, "text/html", "utf-8")
            assert response.headers["content-security-policy"].startswith("default-src 'none';")
            assert response.headers["cache-control"] == "no-store"
            page = Page(await response.text())
        assert page.fact("limits") == ["6 requests per minute (counted over 10 s)", "5,000 tokens per minute"]
        assert page.fact("refused with 429") == ["1"]
        assert page.fact("requests") == ["2, 0 of them open"], "looking changes nothing"
        assert page.rows[1:3] == [["chat/completions", "200", "1"], ["chat/completions", "429", "1"]]
        async with http.get(f"{emulator.url}/status.json") as response:
            assert response.content_type == "application/json"
            told = msgspec.json.decode(await response.read(), type=Status)
        assert msgspec.structs.replace(told, uptime=0) == msgspec.structs.replace(emulator.status, uptime=0)
        async with http.post(f"{emulator.url}/") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:8080", 200),
        ("rebound.example:8080", 404),
        ("", 404),
        ("a b", 404),
        ("localhost:x", 404),
        ("x@localhost", 404),
    ],
)
async def test_only_under_a_name_of_this_machine(http: aiohttp.ClientSession, host: str, status: int) -> None:
    async with Emulator(pace=0, show_prompts=True) as emulator:
        for path in ("/", "/status.json"):
            async with http.get(emulator.url + path, headers={"host": host}) as response:
                assert response.status == status


async def test_where_faults_are_served(http: aiohttp.ClientSession) -> None:
    async with FaultServer("status-503", "cut-between-events", "fine", page=True) as server:
        async with http.post(f"{server.url}/v1/chat/completions", json=user("hi")) as response:
            assert response.status == 503
        for _ in range(2):
            async with http.get(f"{server.url}/") as response:
                page = Page(await response.text())
        assert page.fact("faults") == ["status-503, then cut-between-events, then fine"]
        assert page.rows[1] == ["status-503", "503", "1"]
        async with http.get(f"{server.url}/status.json") as response:
            assert (await response.json())["faults"] == ["status-503", "cut-between-events", "fine"]
        assert len(server.requests) == 1, "looking takes no turn"
    async with FaultServer("reset-unanswered", page=True) as server:
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"{server.url}/v1/chat/completions", json=user("hi", stream=True))
        last = server.status.last[0]
        assert (last.operation, last.status, last.streamed) == ("reset-unanswered", 0, True)
    async with FaultServer("status-503") as server, http.get(f"{server.url}/") as response:
        assert response.status == 503, "unless it is asked for, there is no page"


@needs_a_browser
async def test_in_a_browser(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with Emulator(pace=0, show_prompts=True) as emulator:
        await ask(http, emulator, user(EVIL, model="my-model"))
        page = Page(await shown(f"{emulator.url}/", tmp_path))
    assert ["chat/completions", "200", "1"] in page.rows
    assert page.rows[-1][2] == "my-model"
    assert page.rows[-1][-1] == EVIL
    assert page.fact("requests") == ["1, 0 of them open"]
    assert "script" not in {tag for tag, _ in page.tags}


@needs_a_browser
async def test_nothing_on_it_runs_even_if_it_were_not_escaped(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_async.emulator.page.escape", lambda text: text)
    async with Emulator(pace=0) as emulator:
        await ask(http, emulator, user("hi", model=EVIL))
        text = await shown(f"{emulator.url}/", tmp_path)
    assert "<script>" in text
    assert "<title>(1) emulator</title>" in text


async def shown(url: str, home: Path) -> str:
    """A page as a browser has it once it is loaded."""
    assert BROWSER is not None
    process = await asyncio.create_subprocess_exec(
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *(
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={home}",
            "--dump-dom",
            url,
        ),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env={**os.environ, "HOME": str(home)},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 45)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode()
