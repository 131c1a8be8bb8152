"""The pytest plugin: fixtures, the marker for cassettes, and the switch that forbids real calls.

pytest loads this module in every run of every project that has this package installed, so it imports nothing of the
package until a fixture is asked for. The fixtures are sync: no plugin for asyncio is needed for them, and none is in
their way. Sockets of theirs are in a thread of their own; only the client's are in the loop of the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import pytest

if TYPE_CHECKING:
    from ..client import InferenceClient
    from .cassettes import Cassette, Mode
    from .running import RunningEmulator
    from .transport import ScriptedTransport

_MARKER: Final = "inference_cassette"
_MODES: Final = ("once", "new_episodes", "none")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options and the setting."""
    group = parser.getgroup("inference-async")
    group.addoption(
        "--forbid-inference",
        action="store_true",
        help="fail calls of inference_async to any host but this machine (setting: forbid_inference)",
    )
    group.addoption(
        "--inference-record",
        choices=_MODES,
        default=None,
        help="the mode of all cassettes of inference_async, in place of what their markers say",
    )
    parser.addini("forbid_inference", "as --forbid-inference", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and forbid what is to be forbidden."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(path=None, *, mode='once', prompts=True, pace=1.0): record the calls of inference_async in this "
        "test, and replay them from then on; path is beside the test's file, cassettes/MODULE/TEST.jsonl if left out",
    )
    if config.getoption("forbid_inference") or config.getini("forbid_inference"):
        from .guard import forbid_real_calls

        config.add_cleanup(forbid_real_calls().lift)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give a test that is marked its cassette, before any other fixture could make a call."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(_MARKER):
        others = [name for name in item.fixturenames if name != _MARKER]
        item.fixturenames = [_MARKER, *others]  # a list of its own: parametrised tests share the other


@pytest.fixture
def inference_emulator() -> Iterator[RunningEmulator]:
    """A running emulator of the service, with a script of its own and nothing asked yet; see `RunningEmulator`."""
    from .running import RunningEmulator

    with RunningEmulator() as emulator:
        yield emulator


@pytest.fixture
def inference_client(inference_emulator: RunningEmulator) -> Iterator[InferenceClient]:
    """A client of `inference_emulator`, closed when the test is over; for other options, ``with_options()``."""
    from ..client import InferenceClient
    from .running import BoundTransport, close_from_outside

    transport = BoundTransport()
    client = InferenceClient(
        inference_emulator.models_url, inference_emulator.key, model="test-model", transport=transport
    )
    yield client
    close_from_outside(client, transport)


@pytest.fixture
def scripted_transport() -> ScriptedTransport:
    """A server without sockets, and without answers as yet, for ``InferenceClient(transport=...)``."""
    from .transport import ScriptedTransport

    return ScriptedTransport()


@pytest.fixture
def inference_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of this test, running already; the marker of the same name says which, and brings it along."""
    from .cassettes import cassette

    marker = request.node.get_closest_marker(_MARKER)
    path, options = _asked_for(request, *marker.args, **marker.kwargs) if marker else _asked_for(request)
    with cassette(path, **options) as playing:
        yield playing


class _Options(TypedDict):
    mode: Mode
    prompts: bool
    pace: float


def _asked_for(
    request: pytest.FixtureRequest,
    path: str | Path | None = None,
    *,
    mode: Mode = "once",
    prompts: bool = True,
    pace: float = 1.0,
) -> tuple[Path, _Options]:
    """What the marker asks for: the file, and how to use it."""
    if path is None:
        test = re.sub(r"[^\w.-]+", "-", request.node.nodeid.partition("::")[2]).strip("-")
        path = Path("cassettes", request.path.stem, f"{test}.jsonl")
    chosen: Mode | None = request.config.getoption("inference_record")
    return request.path.parent / path, {"mode": chosen or mode, "prompts": prompts, "pace": pace}
