"""The emulator's HTTP side: an aiohttp server on loopback that asks `replies` what to say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from ..errors import ConfigurationError
from ..wire.endpoints import Dialect
from ..wire.sse import encode_event
from .checks import Refusal, check_api_version, check_body, check_key
from .replies import reply_to
from .script import Script

__all__ = ["Emulator"]

_MAX_REQUEST: Final = 64 * 1024 * 1024


class Emulator:
    """A server on loopback that speaks `/models` and `/openai/v1`, answering from a script.

    ::

        async with Emulator() as emulator:
            async with InferenceClient(emulator.models_url, emulator.key, model="any-name") as client:
                ...

    Args:
        script: what it answers; the script that ships with the package if left out.
        key: the key it asks for, as ``api-key`` or bearer; None lets everybody in.
        port: where it listens; 0 takes a free port.
        pace: a factor on the delays of the script: 1 is as written, 0 is without any.
        log: told in one line of each request that was answered.

    Attributes:
        requests: how many requests it has answered.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        key: str | None = "emulator-key",
        port: int = 0,
        pace: float = 1.0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.script = script or Script.shipped()
        self.key = key
        self.requests = 0
        self._port = port
        self._pace = pace
        self._log = log
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the port is taken, or not to be had.
        """
        app = web.Application(client_max_size=_MAX_REQUEST)
        app.router.add_post("/models/chat/completions", self._models)
        app.router.add_post("/openai/v1/chat/completions", self._openai_v1)
        app.router.add_route("*", "/{path:.*}", self._nowhere)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ConfigurationError(
                f"port {self._port} cannot be listened on: {reason}; port 0 takes one that is free"
            ) from None
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and end what is under way."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def models_url(self) -> str:
        """Its endpoint in the Model Inference dialect."""
        return f"{self.url}/models"

    @property
    def openai_url(self) -> str:
        """Its endpoint in the dialect of `/openai/v1`."""
        return f"{self.url}/openai/v1"

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "models")

    async def _openai_v1(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "openai-v1")

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        text = f"no such route; this emulator speaks POST {self.models_url}/chat/completions and POST {self.openai_url}"
        self._tell(request, 404)
        return web.json_response({"error": {"code": "404", "message": f"{text}/chat/completions"}}, status=404)

    def _tell(self, request: web.Request, status: int, what: str = "") -> None:
        if self._log is not None:
            self._log(f"{status} {request.method} {request.path}" + (f" {what}" if what else ""))

    async def _answer(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        self.requests += 1
        headers = {"x-request-id": str(uuid.uuid4()), "x-ms-region": "loopback"}
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id:
            headers["x-ms-client-request-id"] = client_id
        try:
            check_key(dialect, request.headers, self.key)
            check_api_version(dialect, request.query.get("api-version"))
            body = check_body(dialect, await _json(request), request.headers.get("extra-parameters"), self.script)
            reply = reply_to(dialect, body, self.script)
        except Refusal as refusal:
            if refusal.code:
                headers["x-ms-error-code"] = refusal.code
            self._tell(request, refusal.status)
            return web.json_response(refusal.body, status=refusal.status, headers=headers)
        self._tell(request, 200, f"{body['model']}{', streamed' if body.get('stream') else ''}")
        if not body.get("stream"):
            await asyncio.sleep(sum(delay for delay, _ in reply.chunks[:1]) * self._pace)
            return web.json_response(reply.whole, headers=headers)
        response = web.StreamResponse(headers={**headers, "cache-control": "no-cache"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the caller has gone, and that is no fault of anyone's
            for delay, chunk in reply.chunks:
                if delay * self._pace:
                    await asyncio.sleep(delay * self._pace)
                await response.write(encode_event(json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))))
            await response.write(encode_event("[DONE]"))
            await response.write_eof()
        return response


async def _json(request: web.Request) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        body = json.loads(await request.read(), parse_constant=refuse)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return body
