"""`inference-async conformance`: a table for people, JSON for machines, and an exit code for both."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from inference_async import APIConnectionError, ConfigurationError
from inference_async.cli.app import run
from inference_async.cli.conformance import _print_findings, conformance
from inference_async.cli.doctor import Asked
from inference_async.emulator import Emulator, FaultServer
from inference_async.testing import CHECKS, Finding

FINDINGS = [
    Finding("stream", "same"),
    Finding("[DONE]", "differs", "no [DONE]"),
    Finding("truncation", "breaks", "it looks whole"),
    Finding("tool call", "unasked", "no tool was called"),
]


async def test_a_line_for_each_check(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", emulator.models_url)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "m")
    assert await conformance(Asked()) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    width = max(map(len, CHECKS)) + 2
    assert [row[:width].rstrip() for row in rows] == list(CHECKS)
    assert {row[width:] for row in rows} == {"as Azure does"}
    assert last == f"{len(CHECKS)} of {len(CHECKS)} as Azure does"


async def test_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    async with FaultServer("fine") as server:
        assert await conformance(Asked(f"{server.url}/v1", model="m"), as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["endpoint", "dialect", "model", "checks"]
    assert (report["endpoint"], report["dialect"], report["model"]) == (f"{server.url}/v1", "generic", "m")
    assert [list(row) for row in report["checks"]] == [["name", "verdict", "detail"]] * len(CHECKS)
    assert {row["verdict"] for row in report["checks"]} == {"same", "differs", "unasked"}


async def test_what_would_break_the_client_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    async with FaultServer("fine", "unfinished") as server:
        assert await conformance(Asked(f"{server.url}/v1", model="m")) == 1
    assert "truncation                      breaks this client: neither [DONE]" in capsys.readouterr().out


async def test_what_cannot_be_talked_to() -> None:
    with pytest.raises(ConfigurationError, match="got no endpoint"):
        await conformance(Asked())
    async with FaultServer() as server:
        url = f"{server.url}/v1"
    with pytest.raises(APIConnectionError):
        await conformance(Asked(url, model="m"))


def test_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["conformance", "http://127.0.0.1:1/v1", "--model", "m", "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: no connection to 127.0.0.1:1")


def test_on_a_terminal_it_is_a_table() -> None:
    out = io.StringIO()
    _print_findings(FINDINGS, Console(file=out, force_terminal=True, width=44, highlight=False, markup=False))
    said = out.getvalue()
    assert "\x1b[" in said
    for words in ("check", "the server", "differs: no [DONE]", "1 of 4 as Azure does"):
        assert words in said
    assert "breaks this client: it looks whole" not in said, "wrapped beside its name"


def test_elsewhere_a_line_each() -> None:
    out = io.StringIO()
    _print_findings(FINDINGS, Console(file=out, width=30, highlight=False, markup=False))
    assert out.getvalue().splitlines() == [
        "stream      as Azure does",
        "[DONE]      differs: no [DONE]",
        "truncation  breaks this client: it looks whole",
        "tool call   could not be asked: no tool was called",
        "1 of 4 as Azure does",
    ]
