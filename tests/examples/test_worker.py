"""`examples/worker.py`: every question is answered, or where the next worker finds it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from inference_async import APIConnectionError
from tests.examples.serving import EXAMPLES, ROOT, Model, load, until
from tests.support import ScriptedReply, scripted

WORKER = EXAMPLES / "worker.py"


def put(folder: Path, *questions: str) -> None:
    (folder / "new").mkdir(parents=True, exist_ok=True)
    for number, question in enumerate(questions):
        (folder / "new" / f"{number}.txt").write_text(question)


def held(folder: Path) -> dict[str, list[str]]:
    """What is where, but for places with nothing in them."""
    places = {place.name: sorted(path.name for path in place.iterdir()) for place in folder.iterdir()}
    return {place: names for place, names in places.items() if names}


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Model]:
    async with Model("An inlet", " of the sea.") as made:
        for variable, value in made.environment().items():
            monkeypatch.setenv(variable, value)
        yield made


@asynccontextmanager
async def running(module: Any, folder: Path) -> AsyncIterator[None]:
    """The worker in this event loop; SIGTERM comes at the end, and nothing may be under way after it has ended."""
    before = asyncio.all_tasks()
    worker = asyncio.create_task(module.main(folder))
    try:
        yield
        os.kill(os.getpid(), signal.SIGTERM)
        await worker
        assert asyncio.all_tasks() == before
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(name)


def test_one_command_starts_it_and_a_signal_ends_it(tmp_path: Path) -> None:
    put(tmp_path, "How many languages are in the world?", "[content-filter] a sentence that the classifier refuses")
    run = subprocess.Popen(
        [sys.executable, "-W", "error", WORKER, tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        while run.poll() is None and held(tmp_path) != {"done": ["0.txt"], "failed": ["1.txt"]}:
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=20)
    finally:
        run.kill()
    assert run.returncode == 0, said
    assert said.count("\n") == 1, "one line on stderr: that it is the emulator"
    assert "roughly 7,000 living languages" in (tmp_path / "done" / "0.txt").read_text()
    assert (tmp_path / "failed" / "1.txt").read_text().startswith("ContentFilterError: ")


async def test_at_a_signal_what_is_under_way_is_answered_and_the_rest_stays(tmp_path: Path, model: Model) -> None:
    names = sorted(f"{number}.txt" for number in range(40))
    put(tmp_path, *["What is a fjord?"] * 40)
    model.tempo.first = 0.02
    async with running(load(WORKER), tmp_path):
        await until(lambda: model.requests > 8)
    places = held(tmp_path)
    assert set(places) == {"new", "done"}
    assert sorted(places["new"] + places["done"]) == names
    assert len(places["done"]) == model.requests
    async with running(load(WORKER), tmp_path):
        await until(lambda: held(tmp_path) == {"done": names})
    assert model.requests == 40
    assert {path.read_text() for path in (tmp_path / "done").iterdir()} == {"An inlet of the sea.\n"}


async def test_what_takes_too_long_after_a_signal_goes_back(tmp_path: Path, model: Model) -> None:
    put(tmp_path, "What is a fjord?", "And a firth?")
    model.tempo.first = 3600.0
    module = load(WORKER)
    module.GRACE = 0.01
    async with running(module, tmp_path):
        await until(lambda: model.open == 2)
    await until(lambda: not model.open)
    assert held(tmp_path) == {"new": ["0.txt", "1.txt"]}


async def test_what_cannot_be_answered_now_goes_back_and_is_answered_later(tmp_path: Path) -> None:
    put(tmp_path, "What is a fjord?")
    answer = {"id": "c", "choices": [{"index": 0, "message": {"content": "An inlet."}, "finish_reason": "stop"}]}
    module = load(WORKER)
    module.RECOVER = 0.01
    refused = APIConnectionError("the model is down", kind="connect")
    client = scripted(
        refused, ScriptedReply([json.dumps(answer).encode()], headers={"content-type": "application/json"})
    )
    stopping = asyncio.Event()
    working = asyncio.create_task(module.work(module.Jobs(tmp_path), client, stopping))
    await until(lambda: held(tmp_path) == {"done": ["0.txt"]})
    stopping.set()
    await working
    assert (tmp_path / "done" / "0.txt").read_text() == "An inlet.\n"


async def test_what_a_killed_worker_had_taken_is_taken_up(tmp_path: Path, model: Model) -> None:
    put(tmp_path, "What is a fjord?", "And a firth?")
    model.tempo.first = 3600.0
    run = await asyncio.create_subprocess_exec(
        sys.executable, WORKER, tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        await until(lambda: model.open == 2)
    finally:
        run.kill()
        await run.wait()
    assert held(tmp_path) == {"taken": ["0.txt", "1.txt"]}
    model.tempo.first = 0.0
    async with running(load(WORKER), tmp_path):
        await until(lambda: held(tmp_path) == {"done": ["0.txt", "1.txt"]})
