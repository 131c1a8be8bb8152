"""Fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from inference_async import InferenceClient
from inference_async.emulator import Emulator, Script

_VARIABLES = [
    f"{prefix}_{name}"
    for prefix, names in {
        "AZURE_INFERENCE": ("ENDPOINT", "CREDENTIAL", "MODEL"),
        "AZURE_AI_CHAT": ("ENDPOINT", "KEY", "MODEL"),
        "AZURE_AI_EMBEDDINGS": ("ENDPOINT", "KEY", "MODEL"),
        "AZURE_OPENAI": ("ENDPOINT", "API_KEY", "DEPLOYMENT", "AD_TOKEN"),
        "OPENAI": ("BASE_URL", "API_KEY", "MODEL", "API_VERSION"),
    }.items()
    for name in names
]


settings.register_profile("thorough", max_examples=4000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="the event loop of the tests")
    parser.addoption("--way", choices=["lane", "session"], default="lane", help="how requests get to a connection")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--loop") == "uvloop":
        import uvloop

        # The policy, and not a factory of pytest-asyncio's, for tests call asyncio.run as well.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if config.getoption("--way") == "session":
        from inference_async.net.direct import Lane

        Lane.takes = lambda self, call: False  # type: ignore[method-assign]  # as if aiohttp's sessions were traced


def pytest_report_header(config: pytest.Config) -> str:
    return f"event loop: {config.getoption('--loop')}, requests by the {config.getoption('--way')}"


@pytest.fixture(autouse=True, scope="session")
def _nothing_blocks() -> Iterator[None]:
    """A call of the package's that would block a running event loop raises, in every test.

    But for the emulator, which reads its answers from a file when it is made, for what tests are made of, for the
    messages of the retired SDK, whose own methods read files where they stand, and for the prompt and the drawing on a
    terminal, where nobody else waits: a line is added to the history, and lexers are imported as code comes.
    """
    excluded = [
        "inference_async.emulator",
        "inference_async.testing",
        "inference_async.compat.azure_ai_inference.models",
        "inference_async.cli.growing",
        "inference_async.cli.prompt",
    ]
    Script.shipped()  # which is read once in a process, so that no test depends on another that has done so
    with blockbuster_ctx("inference_async", excluded_modules=excluded):
        yield


@pytest.fixture(autouse=True)
def _no_endpoint_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer's own shell is set up for must not change what is tested, or be called."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _loop_of_asyncio(request: pytest.FixtureRequest) -> None:
    """uvloop itself closes what is open when it is closed, and warns of it."""
    if request.config.getoption("--loop") == "uvloop":
        pytest.skip("what is open when this loop is closed is its own to close")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(pace=0) as server:
        yield server


@pytest.fixture(params=["models", "openai-v1"])
async def client(request: pytest.FixtureRequest, emulator: Emulator) -> AsyncIterator[InferenceClient]:
    """A client of the emulator, in each dialect it speaks."""
    url = emulator.models_url if request.param == "models" else emulator.openai_url
    async with InferenceClient(url, emulator.key, model="mistral-large-2407") as made:
        yield made
