"""The emulator's HTTP side: an aiohttp server on loopback that asks `operations` what to say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from aiohttp import web

from ..errors import ConfigurationError
from ..wire.sse import encode_event
from .access import Access, Tokens, check_access, check_api_version
from .operations import answered, headers_of
from .refusals import Refusal
from .script import Script
from .ways import WAYS, Operation, Way

__all__ = ["Addresses", "Emulator"]

_MAX_REQUEST: Final = 64 * 1024 * 1024
_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


class Addresses:
    """The endpoints of an emulator, in each dialect."""

    @property
    def url(self) -> str:
        """Where it listens."""
        raise NotImplementedError

    @property
    def models_url(self) -> str:
        """Its endpoint in the Model Inference dialect; a key goes in ``api-key``."""
        return f"{self.url}/models"

    @property
    def openai_url(self) -> str:
        """Its endpoint in the dialect of `/openai/v1`."""
        return f"{self.url}/openai/v1"

    def deployment_url(self, name: str) -> str:
        """The endpoint of a deployment of Azure OpenAI, whose name stands in the path; it needs a dated api-version."""
        return f"{self.url}/openai/deployments/{quote(name, safe='')}"

    @property
    def serverless_url(self) -> str:
        """Its endpoint as a serverless one, with one model; a key goes as a bearer."""
        return f"{self.url}/serverless"

    @property
    def managed_url(self) -> str:
        """Its endpoint as managed compute, with one model; a key goes as a bearer."""
        return f"{self.url}/managed"

    @property
    def generic_url(self) -> str:
        """Its endpoint as any server that speaks OpenAI's API; a key goes as a bearer."""
        return f"{self.url}/v1"

    @property
    def front_url(self) -> str:
        """Its `/openai/v1` behind an API Management front, whose key goes in ``Ocp-Apim-Subscription-Key``.

        The same front has ``/apim/models`` and ``/apim/openai/deployments/NAME``.
        """
        return f"{self.url}/apim/openai/v1"


class Emulator(Addresses):
    """A server on loopback that speaks every dialect of the API, each under its own address, answering from a script.

    ::

        async with Emulator() as emulator:
            async with InferenceClient(emulator.models_url, emulator.key, model="any-name") as client:
                ...

    A model whose name begins with ``no-such`` is not there, and gets the 404 of a wrong deployment name.

    Args:
        script: what it answers; the script that ships with the package if left out.
        key: the key it asks for, in the header where the dialect has it; None lets everybody in, unless `tokens` says
            who may come.
        tokens: the Entra ID tokens it takes beside the key, or what says whether it takes one.
        challenge: token -> claims as JSON: such a token is answered with a claims challenge, as one that was revoked.
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
        tokens: Tokens | None = None,
        challenge: Mapping[str, str] = _NOBODY,
        port: int = 0,
        pace: float = 1.0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.script = script or Script.shipped()
        self.key = key
        self.requests = 0
        self._access = Access(key, tokens, challenge)
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
        for way in WAYS:
            for operation in way.operations:
                method = "GET" if operation == "info" else "POST"
                app.router.add_route(method, f"{way.path}/{operation}", partial(self._answer, way, operation))
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

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        text = (
            f"no such route; this emulator speaks POST {self.models_url}/chat/completions and POST {self.openai_url}"
            "/chat/completions, embeddings beside them, and the other dialects that `inference-async serve` lists"
        )
        self._tell(request, 404)
        return web.json_response({"error": {"code": "404", "message": text}}, status=404)

    def _tell(self, request: web.Request, status: int, what: str = "") -> None:
        if self._log is not None:
            self._log(f"{status} {request.method} {request.path}" + (f" {what}" if what else ""))

    async def _answer(self, way: Way, operation: Operation, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        headers = {"x-request-id": str(uuid.uuid4()), "x-ms-region": "loopback"}
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id:
            headers["x-ms-client-request-id"] = client_id
        deployment = request.match_info.get("name")
        try:
            check_access(way.dialect, request.headers, self._access, front=way.front)
            check_api_version(way.dialect, request.query.get("api-version"))
            answer = answered(
                way,
                operation,
                await _json(request),
                deployment=deployment,
                mode=request.headers.get("extra-parameters"),
                script=self.script,
            )
        except Refusal as refusal:
            if refusal.code:
                headers["x-ms-error-code"] = refusal.code
            self._tell(request, refusal.status)
            return web.json_response(refusal.body, status=refusal.status, headers={**headers, **refusal.headers})
        self._tell(request, 200, answer.about)
        headers |= headers_of(way, answer, request.headers, deployment=deployment)
        if answer.chunks is not None:
            return await self._stream(request, answer.chunks, headers)
        await asyncio.sleep(answer.seconds * self._pace)
        return web.json_response(answer.whole, headers=headers)

    async def _stream(
        self, request: web.Request, chunks: list[tuple[float, dict[str, Any]]], headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**headers, "cache-control": "no-cache"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the caller has gone, and that is no fault of anyone's
            for delay, chunk in chunks:
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
