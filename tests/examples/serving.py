"""What the tests of the services share: the services, in this event loop or in a process, and a model that counts."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from inference_async.emulator import Emulator
from inference_async.emulator.script import Answer, Pace, Rule, Script

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
SERVICES: dict[str, dict[str, Any]] = {
    "web_service/app.py": {"json": {"messages": [{"role": "user", "content": "How many languages are there?"}]}},
    "fastapi_service.py": {"json": {"question": "How many languages are there?"}},
    "aiohttp_service.py": {"data": "How many languages are there?"},
}
"""Each service, and the body of a request to it."""


class Model(Emulator):
    """An emulator that knows how many answers are under way."""

    def __init__(self, *tokens: str, first: float = 0.0, token: float = 0.0, **options: Any) -> None:
        self.tempo = Pace(first=first, token=token)
        answer = Answer(content="".join(tokens), tokens=list(tokens), pace=self.tempo)
        super().__init__(Script(rules=[Rule(answer=answer)]), **options)
        self.open = 0

    async def _answer(self, *args: Any) -> web.StreamResponse:
        self.open += 1
        try:
            return await super()._answer(*args)
        finally:
            self.open -= 1

    def environment(self) -> dict[str, str]:
        """What sends a program here."""
        return {"AZURE_INFERENCE_ENDPOINT": self.models_url, "AZURE_INFERENCE_CREDENTIAL": str(self.key)}


def load(path: Path) -> Any:
    """A program as a module of its own, made anew."""
    name = f"loaded_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The address of an app that is served in this event loop, as its own program would serve it."""
    async with _on_aiohttp(app) if isinstance(app, web.Application) else _on_uvicorn(app) as url:
        yield url


@asynccontextmanager
async def _on_aiohttp(app: web.Application) -> AsyncGenerator[str, None]:
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _on_uvicorn(app: Any) -> AsyncGenerator[str, None]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await until(lambda: server.started or task.done())
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@contextmanager
def process(name: str, **environment: str) -> Iterator[str]:
    """The address of a service that one command has started; it must end in peace when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / name],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PORT": str(port), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while run.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=20)
        assert run.returncode in (0, -signal.SIGTERM), said  # uvicorn passes the signal on when it has closed
        assert "Traceback" not in said
        assert "Warning" not in said
    finally:
        run.kill()
        run.communicate()


@asynccontextmanager
async def asked(url: str, name: str, session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of a service."""
    async with session.post(f"{url}/chat", **SERVICES[name]) as response:
        assert response.status == 200, await response.text()
        yield response


def working() -> set[asyncio.Task[Any]]:
    """All tasks but those of aiohttp's server that hold an idle connection each."""
    return {task for task in asyncio.all_tasks() if "RequestHandler.start()" not in repr(task)}


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what is waited for are others' numbers)
            await asyncio.sleep(0.005)
