"""The guide: every block of code in it runs, in order, against the emulator."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from inference_async.emulator import Emulator

GUIDE = Path(__file__).parent.parent / "docs" / "guide.md"


async def test_the_guide_runs_as_it_stands(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GUIDE.parent.parent)
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", emulator.models_url)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    source = "async def guide():\n" + textwrap.indent("\n".join(blocks), "    ")
    names: dict[str, Any] = {}
    exec(compile(ast.parse(source), str(GUIDE), "exec", dont_inherit=True), names)
    await names["guide"]()
    said = capsys.readouterr().out
    for words in (
        "a matter of debate. stop Usage(prompt_tokens=19",
        "emulator/mistral-large-2407",
        "The train at 09:40",
        "\n48\n",
        "[image: image/png, 70 bytes]",
        "\nCity(name='Oslo', people=717000)\n2\n",
        "1 get_flight_info {",
        "\n3 256 3\n",
        "() ('violence',) content_filter\n126 characters may stay\n",
        "\n('violence',) medium\n",
        "\nRain.\n",
    ):
        assert words in said
