"""The documentation: every block of code in it runs, page by page, against the emulator."""

from __future__ import annotations

import ast
import os
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest

from inference_async import InferenceClient
from inference_async.cli.app import cli
from inference_async.cli.conformance import conformance
from inference_async.cli.doctor import Asked
from inference_async.emulator import Emulator, Latency, RateLimit, Script, fault
from inference_async.testing import NoAnswerError, cassette
from tests.support import PLUGIN

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FEATURES = DOCS / "features.md"
WITHOUT_A_TEST = {"prompt templates (`.prompty`)", "image generation, the Responses API"}  # ours: no


# What a page prints, in part; what runs some other way names what does it.
PAGES: dict[str, tuple[str, ...]] = {
    "content-safety": ("() ('violence',) content_filter\n126 characters may stay\n",),
    "embeddings": ("3 256 3\n",),
    "endpoints": (
        "dialect             models: the Model Inference API",
        "https://api.example.com/llm/chat/completions ocp-apim-subscription-key\n",
    ),
    "errors": ("('violence',) medium\n", "1 request\n"),
    "identity": ("over plain http", "asked for https://ai.azure.com/.default\nWho am I?\nWho am I?\n"),
    "index": ("a matter of debate. stop Usage(prompt_tokens=19", "emulator/mistral-large-2407", "debate.Usage("),
    "messages": ("stop\nWhat is in this picture?\n[image: image/png, 70 bytes]\nstop\n", "\n48\n"),
    "streaming": ("debate.stop Usage(prompt_tokens=19", "reasoning ", "\ncut after "),
    "timeouts": (),
    "tools": ("The train at 09:40", "1 get_flight_info {"),
    "typed-answers": ("City(name='Oslo', people=717000)\n2\n",),
}
RUN_ELSEWHERE = {
    "coming-from-azure-ai-inference": "tests/test_coming_from.py",
    "coming-from-openai": "tests/test_coming_from.py",
    "emulator": "test_the_page_on_the_emulator_runs_as_it_stands",
    "testing": "test_what_is_said_of_testing_runs_as_it_stands",
    "web": "tests/examples/test_web.py",
}


def blocks_of(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


async def run_blocks(page: str, **names: object) -> None:
    source = f"async def page({', '.join(names)}):\n" + textwrap.indent("\n".join(blocks_of(page)), "    ")
    module: dict[str, Any] = {}
    exec(compile(ast.parse(source), f"{page}.md", "exec", dont_inherit=True), module)
    await module["page"](**names)


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs_as_it_stands(
    page: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", emulator.models_url)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    async with InferenceClient(model="mistral-large-2407") as client:
        await run_blocks(page, client=client)
    said = capsys.readouterr().out
    for words in PAGES[page]:
        assert words in said


def test_no_page_has_code_that_nothing_runs() -> None:
    with_code = {path.stem for path in DOCS.glob("*.md") if blocks_of(path.stem)}
    assert with_code == PAGES.keys() | RUN_ELSEWHERE.keys()


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


async def test_the_page_on_the_emulator_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    await run_blocks("emulator")
    assert capsys.readouterr().out.splitlines() == [
        "Rain.",
        "How fast are you?",
        "again in 38 s, tokens left: 18",
        "Is anybody there? 1",
        "503",
        "cut after Grüße aus",
        "Grüße aus Köln. 3",
        "[Count(operation='chat/completions', status=200, requests=1)] 3 0",
    ]


def test_scripts_on_that_page_are_some() -> None:
    scripts = [Script.from_json(block.encode()) for block in blocks_of("emulator", "json")]
    assert [rule.answer.content for rule in scripts[0].rules][:1] == ["Rain."]


@pytest.mark.parametrize("line", "".join(blocks_of("emulator", "sh")).splitlines())
def test_commands_on_that_page_are_understood(line: str) -> None:
    program, name, *args = shlex.split(line)
    assert program == "inference-async"
    given = cli.commands[name].make_context(name, [arg.replace("weather.json", __file__) for arg in args]).params
    Latency.parse(given["latency"] or "", jitter=given["jitter"] or "")
    for fault_name in given["named"]:
        fault(fault_name)
    if given["rate_limit"]:
        RateLimit.parse(given["rate_limit"])


TESTING = (ROOT / "docs" / "testing.md").read_text()


def test_what_is_said_of_testing_runs_as_it_stands(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *blocks = re.findall(r"^```python\n(.*?)^```", TESTING, re.MULTILINE | re.DOTALL)
    pytester.makeconftest(first)
    pytester.makepyfile("\n".join(blocks))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    args = ("-q", "-W", "error", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.runpytest_subprocess(*PLUGIN, *args)
    result.assert_outcomes(passed=len(re.findall(r"^async def test_", "\n".join(blocks), re.MULTILINE)))


async def test_what_a_cassette_says_of_another_prompt(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with InferenceClient(emulator.models_url, emulator.key, model="demo") as client:
        with cassette("hello.jsonl"):
            await client.complete("How many languages are in the world?")
        with cassette("hello.jsonl"), pytest.raises(NoAnswerError) as caught:
            await client.complete("How many languages are in Europe?")
    assert f"{caught.value}\n" == blocks_of("testing", "text")[0]


async def test_what_conformance_prints(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", str(emulator.key))
    assert await conformance(Asked(emulator.generic_url, model="any")) == 0
    _, shown = blocks_of("testing", "text")
    assert capsys.readouterr().out.endswith(shown)


ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in FEATURES.read_text().splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| feature "))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_feature_names_a_test_that_is_there(row: list[str]) -> None:
    feature, ours, _, _, tests = row
    if feature in WITHOUT_A_TEST:
        assert not tests
        return
    for test in tests.split(", "):
        path, _, name = test.strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text())
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert name in functions, f"{path} has no {name}"
    assert not ours.startswith("no")


NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs" / "reliability.md").read_text())))


@pytest.mark.parametrize("name", NAMED)
def test_what_is_said_of_reliability_names_tests_that_are_there(name: str) -> None:
    path, _, function = name.partition("::")
    assert (ROOT / path).is_file()
    assert not function or re.search(rf"def {function}\(", (ROOT / path).read_text())
