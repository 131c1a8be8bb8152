"""The emulator's HTTP side: an aiohttp server on loopback that asks `operations` what to say."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

from aiohttp import web

from .._version import __version__
from ..errors import ConfigurationError
from ..wire.endpoints import is_loopback
from ..wire.sse import encode_event
from .access import Access, Tokens, check_access, check_api_version
from .latency import Latency
from .limits import DEFAULT_MAX_TOKENS, Quota, RateLimit, tokens_at_most
from .operations import answered, checked, headers_of
from .page import HEADERS, VIEWS
from .refusals import Refusal, over_limit
from .script import Model, Script
from .tally import Entry, Status, Tally
from .upstream import BrokenOffError, Relayed, Upstream, usage_in
from .ways import WAYS, Operation, Way

__all__ = ["Addresses", "Emulator"]

_HOST: Final = re.compile(r"\[?([\w.:-]+?)\]?(?::\d+)?", re.ASCII)
_MAX_REQUEST: Final = 64 * 1024 * 1024


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

    A model whose name begins with ``no-such`` does not exist, and gets the 404 of a wrong deployment name.

    Args:
        script: what it answers; defaults to the script that ships with the package.
        key: the key that callers must send, in the header of the dialect. None accepts any caller, unless `tokens` is
            set.
        tokens: the Entra ID tokens that are accepted besides the key, or a function that decides.
        challenge: tokens that get a claims challenge, as if they were revoked, with the claims as JSON.
        port: where it listens; 0 takes a free port.
        pace: a factor for all delays; 0 is without any.
        latency: how long answers take, instead of the delays in the script.
        rate_limit: how many requests and tokens per minute each model accepts, before it answers 429; unlimited by
            default.
        upstream: the URL of a server of any dialect, which answers instead of the rules of the script. What the script
            says about models still holds.
        upstream_key: the key of that server.
        show_prompts: show the last message of each request on the status page.
        log: called with a line for each request that was answered, and for each stream that the upstream broke off.

    Attributes:
        requests: how many requests it has answered.

    Raises:
        ConfigurationError: `upstream` is no URL, or its key would go over the network in the clear.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        key: str | None = "emulator-key",
        tokens: Tokens | None = None,
        challenge: Mapping[str, str] | None = None,
        port: int = 0,
        pace: float = 1.0,
        latency: Latency | None = None,
        rate_limit: RateLimit | None = None,
        upstream: str | None = None,
        upstream_key: str | None = None,
        show_prompts: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.script = script or Script.shipped()
        self.key = key
        self.requests = 0
        self._access = Access(key, tokens, challenge or {})
        self._port = port
        self._pace = pace
        self._latency = latency or Latency()
        self._rate_limit = rate_limit
        self._quotas: dict[str, Quota] = {}
        self._upstream = Upstream(upstream, upstream_key) if upstream is not None else None
        self._show_prompts = show_prompts
        self._tally = Tally()
        self._began = time.monotonic()
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
        for path, view in VIEWS.items():
            app.router.add_get(path, partial(self._show, *view))
        app.router.add_route("*", "/{path:.*}", self._nowhere)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError as error:
            await runner.cleanup()
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ConfigurationError(
                f"cannot listen on port {self._port}: {reason}; choose another, or 0 for any that is free"
            ) from None
        self._runner = runner
        self._began = time.monotonic()
        self._port = runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop listening and end what is under way."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._upstream is not None:
            await self._upstream.aclose()

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
    def status(self) -> Status:
        """What the status page shows: what came, what it was answered with, and what is on its way."""
        limit = self._rate_limit
        limits: list[str] = []
        if limit is not None and limit.requests is not None:
            limits.append(f"{limit.requests:,} requests per minute (counted over {limit.window:g} s)")
        if limit is not None and limit.tokens is not None:
            limits.append(f"{limit.tokens:,} tokens per minute")
        return self._tally.status(
            version=__version__,
            uptime=round(time.monotonic() - self._began, 3),
            answers="from a script" if self._upstream is None else f"from {self._upstream.endpoint.base}",
            limits=limits,
            faults=[],
        )

    async def _show(
        self, content_type: str, body_of: Callable[[Status], bytes], request: web.Request
    ) -> web.StreamResponse:
        found = _HOST.fullmatch(request.host)
        if found is None or not is_loopback(found[1]):  # a name of another site's that was made to lead here
            return await self._nowhere(request)
        return web.Response(body=body_of(self.status), headers={"content-type": content_type, **HEADERS})

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        text = (
            f"no such route; this emulator speaks POST {self.models_url}/chat/completions and POST {self.openai_url}"
            "/chat/completions, embeddings beside them, and the other dialects that `inference-async serve` lists"
        )
        self._tell(request, 404)
        entry = Entry(at=time.time(), operation="no such route", status=404)
        self._tally.begin(entry)
        self._tally.end(entry, 0.0)
        return web.json_response({"error": {"code": "404", "message": text}}, status=404)

    def _tell(self, request: web.Request, status: int | str, what: str = "") -> None:
        if self._log is not None:
            self._log(f"{status} {request.method} {request.path}" + (f" {what}" if what else ""))

    async def _answer(self, way: Way, operation: Operation, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        entry = Entry(at=time.time(), operation=operation)
        began = time.monotonic()
        self._tally.begin(entry)
        try:
            return await self._speak(_Exchange(way, operation, request, entry, self._latency.dice(self.requests)))
        except asyncio.CancelledError:
            entry.ended = "left"
            raise
        finally:
            self._tally.end(entry, time.monotonic() - began)

    async def _speak(self, exchange: _Exchange) -> web.StreamResponse:
        way, operation, request, entry, _ = exchange
        headers = {"x-request-id": str(uuid.uuid4()), "x-ms-region": "loopback"}
        client_id = request.headers.get("x-ms-client-request-id")
        if client_id:
            headers["x-ms-client-request-id"] = client_id
        deployment = request.match_info.get("name")
        mode = request.headers.get("extra-parameters")
        script = self._latency.over(self.script)
        try:
            check_access(way.dialect, request.headers, self._access, front=way.front)
            check_api_version(way.dialect, request.query.get("api-version"))
            body = checked(way, operation, await _json(request), deployment=deployment, mode=mode, script=script)
            entry.told(body, prompts=self._show_prompts)
            limits = self._admit(way, operation, body)
            if self._upstream is not None and operation != "info":
                headers |= headers_of(way, request.headers, deployment=deployment, usage=None)
                async with self._upstream.ask(way.dialect, operation, body) as relayed:
                    return await self._relay(exchange, relayed, {**relayed.headers, **headers, **limits})
            answer = answered(way, operation, body, script)
        except Refusal as refusal:
            if refusal.code:
                headers["x-ms-error-code"] = refusal.code
            entry.status = refusal.status
            self._tell(request, refusal.status, ": ".join(filter(None, (entry.model, refusal.note))))
            return web.json_response(refusal.body, status=refusal.status, headers={**headers, **refusal.headers})
        usage = answer.whole.get("usage")
        entry.used(usage)
        headers |= headers_of(way, request.headers, deployment=deployment, usage=usage) | limits
        if answer.chunks is not None:
            texts = (json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in answer.chunks)
            return await self._stream(exchange, zip(answer.delays, texts, strict=True), headers)
        entry.status = 200
        self._tell(request, 200, entry.about)
        await self._wait(exchange, *answer.delays)
        return web.json_response(answer.whole, headers=headers)

    def _admit(self, way: Way, operation: Operation, body: Mapping[str, Any]) -> dict[str, str]:
        """The headers that say what is left of the limits.

        Raises:
            Refusal: 429: nothing is.
        """
        if self._rate_limit is None or operation == "info":
            return {}
        now = time.monotonic()
        name: str = body["model"]
        quota = self._quotas.setdefault(name, Quota(self._rate_limit, now))
        default = self.script.models.get(name, Model()).max_tokens or DEFAULT_MAX_TOKENS
        admission = quota.admit(tokens_at_most(body, default), now)
        if admission.refused is not None:
            raise over_limit(way.dialect, admission.refused, name, admission.headers)
        return admission.headers

    async def _stream(
        self, exchange: _Exchange, events: Iterable[tuple[float, str]], headers: Mapping[str, str]
    ) -> web.StreamResponse:
        response = await self._opened(exchange, headers)
        try:
            for delay, text in events:
                await self._wait(exchange, delay)
                await response.write(encode_event(text))
            await response.write(encode_event("[DONE]"))
            await response.write_eof()
        except ConnectionError:  # the caller has gone, and that is no fault of anyone's
            exchange.entry.ended = "left"
        return response

    async def _relay(self, exchange: _Exchange, relayed: Relayed, headers: Mapping[str, str]) -> web.StreamResponse:
        """Pass an answer of the upstream on as it comes.

        Raises:
            Refusal: it is not streamed, and no answer.
        """
        if not relayed.is_stream:
            return await self._relay_whole(exchange, relayed, headers)
        entry = exchange.entry
        response = await self._opened(exchange, headers)
        delay = self._latency.first
        try:
            while events := await relayed.read():
                for data, encoded in events:
                    await self._wait(exchange, delay or 0.0)
                    delay = self._latency.token
                    if b'"usage"' in data:
                        entry.used(usage_in(data))
                    await response.write(encoded)
            await response.write_eof()
        except BrokenOffError as error:
            entry.ended = "cut"
            self._tell(exchange.request, "cut", f"{entry.model}: the upstream {error}")
            if exchange.request.transport is not None:
                exchange.request.transport.close()  # in the midst of the body, which so has no end here either
        except ConnectionError:
            entry.ended = "left"
        return response

    async def _relay_whole(
        self, exchange: _Exchange, relayed: Relayed, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        try:
            body, usage = await relayed.whole()
        except BrokenOffError as error:
            raise relayed.failed(str(error)) from None
        exchange.entry.used(usage)
        exchange.entry.status = 200
        self._tell(exchange.request, 200, exchange.entry.about)
        await self._wait(exchange, self._latency.first or 0.0)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _opened(self, exchange: _Exchange, headers: Mapping[str, str]) -> web.StreamResponse:
        """A stream whose head is sent."""
        exchange.entry.status = 200
        exchange.entry.streamed = True
        self._tell(exchange.request, 200, exchange.entry.about)
        response = web.StreamResponse(headers={**headers, "cache-control": "no-cache"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(exchange.request)
        return response

    async def _wait(self, exchange: _Exchange, *delays: float) -> None:
        seconds = sum(map(exchange.dice, delays)) * self._pace
        if seconds:
            await asyncio.sleep(seconds)


class _Exchange(NamedTuple):
    """A request on its way: where it came in, what is noted of it, and what becomes of the delays of its answer."""

    way: Way
    operation: Operation
    request: web.Request
    entry: Entry
    dice: Callable[[float], float]


async def _json(request: web.Request) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        body = json.loads(await request.read(), parse_constant=refuse)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return body
