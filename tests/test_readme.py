"""The README: its code runs, and its promises about itself hold."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

import inference_async
from inference_async.emulator import FAULTS, Emulator, Script

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_exactly_two_commands_each_one_line_with_an_environment_of_its_own() -> None:
    commands = [block.strip() for block in blocks("bash")]
    assert len(commands) == 2
    for command, environment in zip(commands, (".venv", ".venv-test"), strict=True):
        assert "\n" not in command
        assert command.startswith(f"python3 -m venv {environment} && {environment}/bin/pip install ")
    assert commands[0].endswith('.venv/bin/inference-async chat "How many languages are in the world?"')
    assert commands[1].endswith(".venv-test/bin/python -m pytest -q")


def test_what_the_first_command_prints_is_what_the_script_says() -> None:
    (printed,) = blocks("text")
    basic = next(rule for rule in Script.shipped().rules if rule.name == "basic")
    assert printed.strip() == basic.answer.content


async def test_the_code_runs_as_it_stands(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", emulator.models_url)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "any")
    (code,) = blocks("python")
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    out, err = await asyncio.wait_for(run.communicate(), 30)
    assert run.returncode == 0, err.decode()
    assert out.decode().endswith("debate.\nUsage(prompt_tokens=19, completion_tokens=48, total_tokens=67)\n")
    assert len([line for line in code.splitlines() if line]) == 8


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_it_counts_the_faults_without_the_good_answer(name: str) -> None:
    counts = re.findall(r"(\d+) (?:faults|ways)", (ROOT / name).read_text())
    assert counts == [str(len(FAULTS.keys() - {"fine"}))]


def test_every_file_and_name_in_the_readme_exists() -> None:
    for path in re.findall(r"`((?:docs|examples)/[\w./]*)`", TEXT):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`([A-Z]\w+(?:Error|Client))\b", TEXT):
        assert hasattr(inference_async, name), name
