"""The pytest plugin, in runs of pytest of its own: with pytest-asyncio in both modes, with anyio's, and with none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_async.net.detour import DETOUR
from tests.support import HERE, PLUGIN

pytest_plugins = ["pytester"]

COMMON = (
    "-q",
    "-W",
    "error",
    "--strict-markers",
    *(f"-pno:{name}" for name in ("cacheprovider", "timeout", "hypothesispytest")),
)
ASYNCIO = ("-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function", "-o", "asyncio_mode=auto")
STRICT = (*ASYNCIO, "-o", "asyncio_mode=strict")
ANYIO = ("-p", "no:asyncio")
NEITHER = ("-p", "no:asyncio", "-p", "no:anyio")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """A run in this process, in which every warning is an error."""
    return pytester.runpytest_inprocess(*PLUGIN, *COMMON, *args)


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    assert (DETOUR.ban, DETOUR.tape) == (None, None)


ASKING = """
import pytest
from inference_async import InternalServerError

pytestmark = {mark}

async def test_asks(inference_emulator, inference_client):
    inference_emulator.script("Rain.")
    assert (await inference_client.complete("What will the weather be?")).text == "Rain."
    inference_emulator.fault("status-503")
    with pytest.raises(InternalServerError):
        await inference_client.with_options(retries=0).complete("And now?")
    async with inference_client.stream("And now?") as stream:
        assert [text async for text in stream.text()] == ["Rain", "."]
    assert [request.method for request in inference_emulator.requests] == ["POST"] * 3

async def test_begins_anew(inference_emulator, inference_client):
    assert inference_emulator.requests == []
    assert (await inference_client.complete("said back")).text == "said back"

async def test_leaves_a_stream_in_the_middle(inference_client):
    stream = inference_client.stream("said back")
    await anext(stream)
    await stream.aclose()

async def test_closes_the_client_itself(inference_client):
    async with inference_client:
        await inference_client.complete("said back")

async def test_has_a_list_for_a_server(scripted_transport):
    from inference_async import InferenceClient
    from inference_async.testing import completion
    scripted_transport.answer(completion("Rain."))
    async with InferenceClient("http://localhost/v1", model="any", transport=scripted_transport) as client:
        assert (await client.complete("hi")).text == "Rain."
"""


@pytest.mark.parametrize(
    ("mark", "args"),
    [
        ("[]", ASYNCIO),
        ("pytest.mark.asyncio", STRICT),
        ("pytest.mark.asyncio(loop_scope='module')", STRICT),
        ("[pytest.mark.anyio, pytest.mark.parametrize('anyio_backend', ['asyncio'])]", ANYIO),
    ],
    ids=["asyncio-auto", "asyncio-strict", "asyncio-of-the-module", "anyio"],
)
def test_fixtures_under_each_plugin(pytester: pytest.Pytester, mark: str, args: tuple[str, ...]) -> None:
    pytester.makepyfile(ASKING.format(mark=mark))
    run(pytester, *args).assert_outcomes(passed=5)


def test_fixtures_without_any_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import asyncio

        def test_asks(inference_emulator, inference_client):
            inference_emulator.script("Rain.")
            assert asyncio.run(inference_client.complete("hi")).text == "Rain."

        def test_asks_nothing(inference_client):
            pass
        """
    )
    run(pytester, *NEITHER).assert_outcomes(passed=2)


def test_loaded_with_pytest_it_loads_nothing_else(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the run of a project pays that has the package installed and does not use it."""
    pytester.makepyfile(
        """
        import sys

        def test_it():
            loaded = {name for name in sys.modules if name.partition(".")[0] == "inference_async"}
            assert loaded == {
                "inference_async", "inference_async._version", "inference_async.testing",
                "inference_async.testing.plugin",
            }
            assert "aiohttp" not in sys.modules
        """
    )
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent), prepend=os.pathsep)
    result = pytester.runpytest_subprocess(*PLUGIN, *COMMON, *NEITHER)
    result.assert_outcomes(passed=1)


CALLING = """
from inference_async import InferenceClient

async def test_calls():
    async with InferenceClient("https://elsewhere.invalid/v1", model="any") as client:
        await client.complete("hi")

async def test_stays_here(inference_client):
    await inference_client.complete("hi")
"""


@pytest.mark.parametrize("how", ["option", "setting", "conftest"])
def test_a_run_without_real_calls(pytester: pytest.Pytester, how: str) -> None:
    pytester.makepyfile(CALLING)
    args = ["--forbid-inference"] if how == "option" else []
    if how == "setting":
        pytester.makeini("[pytest]\nforbid_inference = true")
    if how == "conftest":
        pytester.makeconftest(
            """
            from inference_async.testing import forbid_real_calls

            ban = forbid_real_calls()

            def pytest_unconfigure():
                ban.lift()
            """
        )
    result = run(pytester, *ASYNCIO, *args)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*RealCallError: a real call to elsewhere.invalid was about to be made*"])


RECORDED = """
import pytest

TEXT = {text!r}

@pytest.mark.inference_cassette
@pytest.mark.parametrize("name", ["a/b", "c"])
async def test_marked(inference_client, name):
    assert (await inference_client.complete(f"{{TEXT}} {{name}}")).text == f"said back {{name}}"

class TestClass:
    @pytest.mark.inference_cassette("elsewhere.jsonl", prompts=False, pace=0)
    async def test_with_a_path(self, inference_client, inference_cassette):
        assert (await inference_client.complete(TEXT)).text == "said back"
        assert inference_cassette.played + inference_cassette.recorded == 1

@pytest.fixture
async def early(inference_client):
    return await inference_client.complete(TEXT)

@pytest.mark.inference_cassette
async def test_from_the_first_fixture_on(early, inference_cassette):
    assert inference_cassette.played + inference_cassette.recorded == 1

@pytest.mark.parametrize("marked", [pytest.param(True, marks=pytest.mark.inference_cassette), False])
async def test_marked_in_part(request, marked):
    assert ("inference_cassette" in request.fixturenames) == marked
"""


def test_cassettes_are_recorded_and_replayed(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(test_it=RECORDED.format(text="said back"))
    run(pytester, *ASYNCIO).assert_outcomes(passed=6)
    recorded = sorted(str(found.relative_to(path.parent)) for found in path.parent.rglob("*.jsonl"))
    assert recorded == [
        "cassettes/test_it/test_from_the_first_fixture_on.jsonl",
        "cassettes/test_it/test_marked-a-b.jsonl",
        "cassettes/test_it/test_marked-c.jsonl",
        "elsewhere.jsonl",
    ]
    before = {name: (path.parent / name).read_bytes() for name in recorded}
    run(pytester, *ASYNCIO, "--inference-record=none").assert_outcomes(passed=6)
    assert before == {name: (path.parent / name).read_bytes() for name in recorded}


def test_a_cassette_that_does_not_fit(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=RECORDED.format(text="said back"))
    run(pytester, *ASYNCIO)
    pytester.makepyfile(test_it=RECORDED.format(text="something else"))
    result = run(pytester, *ASYNCIO)
    result.assert_outcomes(passed=2, failed=3, errors=1)
    result.stdout.fnmatch_lines(["*messages[[]0[]].content: 'said back a/b' recorded, 'something else a/b' sent*"])


def test_the_mode_of_the_run_overrules_the_markers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=RECORDED.format(text="said back"))
    result = run(pytester, *ASYNCIO, "--inference-record=none")
    result.assert_outcomes(passed=2, failed=3, errors=1)
    assert not list(Path(pytester.path).rglob("*.jsonl"))


def test_a_marker_that_is_wrong_is_an_error_of_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.inference_cassette(mode="sometimes")
        def test_it():
            pass
        """
    )
    result = run(pytester, *NEITHER)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*got mode='sometimes', expected one of 'once', 'new_episodes', 'none'*"])
