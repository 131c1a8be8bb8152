"""`inference-async embed`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inference_async.cli.embed import _table, embed
from inference_async.emulator import Emulator
from inference_async.types import Embedding, EmbeddingsResult


async def run(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, *texts: str, **given: Any) -> int:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    options = {"file": None, "model": "m", "options": {"dimensions": 3}, "as_json": False} | given
    return await embed(texts, endpoint=emulator.models_url, **options)


async def test_a_vector_on_each_line(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("green\n\nblue\n")
    assert await run(emulator, monkeypatch, "red", file=file) == 0
    out, err = capsys.readouterr()
    vectors = [json.loads(line) for line in out.splitlines()]
    assert [len(vector) for vector in vectors] == [3, 3, 3]
    assert err == "emulator/m, 3 tokens\n"
    assert await run(emulator, monkeypatch, "red", as_json=True) == 0
    out, err = capsys.readouterr()
    whole = json.loads(out)
    assert whole["data"][0]["embedding"] == vectors[0]
    assert err == "emulator/m, 1 token\n"


def test_a_table_gives_a_glance() -> None:
    console = Console(width=80, force_terminal=True, color_system=None)
    result = EmbeddingsResult(data=[Embedding(embedding=[0.125] * 1536), Embedding(index=1, embedding=[-1.0] * 1536)])
    with console.capture() as capture:
        console.print(_table(["\x1b[2Jred\nrose", "x" * 200], result))
    lines = capture.get().splitlines()
    assert [lines[0].split(), lines[1].split()[:3]] == [
        ["text", "numbers", "beginning", "with"],
        ["[2Jred", "rose", "1,536"],
    ]
    assert "0.125, 0.125, 0.125, 0.125 ..." in lines[1]
    assert "x…" in lines[2]
    assert "1,536" in lines[2]
