"""The pages for people who come from other clients: their programs print the same, and their names are there."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inference_async
from inference_async import ChatCompletion, ChatStream, InferenceClient
from inference_async.compat.azure_ai_inference import aio, models
from inference_async.emulator import Emulator
from tests.compat.running import OURS, RETIRED

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {name: (DOCS / f"coming-from-{name}.md").read_text() for name in ("azure-ai-inference", "openai")}
each_page = pytest.mark.parametrize("page", PAGES)


def program(page: str, which: str) -> str:
    """The one or the other program of a page, with our names in place of the retired SDK's."""
    before: str
    after: str
    before, after = re.findall(r"^```python\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    return (before if which == "before" else after).replace(RETIRED, OURS)


async def printed(source: str, emulator: Emulator) -> str:
    """What a program prints, in a process of its own; it may warn that it is deprecated, and of nothing else."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(DOCS.parent),
        "AZURE_AI_CHAT_ENDPOINT": emulator.models_url,
        "AZURE_AI_CHAT_KEY": str(emulator.key),
        "OPENAI_BASE_URL": emulator.openai_url,
        "OPENAI_API_KEY": str(emulator.key),
    }
    warnings = ("-W", "error", "-W", "ignore::DeprecationWarning:__main__")
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, *warnings, "-c", source), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    out, err = await asyncio.wait_for(run.communicate(), 30)
    assert run.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize(
    ("page", "which"), [("azure-ai-inference", "before"), ("azure-ai-inference", "after"), ("openai", "after")]
)
async def test_a_program(page: str, which: str, emulator: Emulator) -> None:
    answer = "Linguists count roughly 7,000 living languages."
    lines = (await printed(program(page, which), emulator)).splitlines()
    assert [line.startswith(answer) for line in lines] == [True, True, False]
    assert [line.endswith(("a matter of debate.", " 67")) for line in lines] == [True, True, False]
    assert lines[2] == "404 " + ("unknown_model" if page == "azure-ai-inference" else "DeploymentNotFound")


def cells(page: str, column: int) -> list[str]:
    rows = [line.strip("|").split("|") for line in PAGES[page].splitlines() if line.startswith("| ")]
    return [row[column] for row in rows]


@each_page
def test_every_row_has_two_cells_and_names_something(page: str) -> None:
    for left, right in zip(cells(page, 0), cells(page, 1), strict=True):
        assert left.strip()
        assert right.strip()


def test_every_name_of_the_retired_sdk_has_a_row() -> None:
    named = set(re.findall(r"\w+", " ".join(cells("azure-ai-inference", 0))))
    assert {*aio.__all__, *models.__all__} <= named


@each_page
def test_the_native_names_are_there(page: str) -> None:
    known = {*inference_async.__all__, "None", "Model"}
    for code in re.findall(r"`([^`]+)`", " ".join(cells(page, 1))):
        for name in re.findall(r"\b[A-Z][A-Za-z]+[a-z]\w*\b", code):
            assert name in known, name
        for name in re.findall(r"\bclient\.(\w+)", code):
            assert hasattr(InferenceClient, name), name
        for name in re.findall(r"\bstream\.(\w+)", code):
            assert hasattr(ChatStream, name), name
        for name in re.findall(r"\bcompletion\.(\w+)", code):
            assert hasattr(ChatCompletion, name) or name == "parsed", name
