"""Keys, tokens and prompts stay where they belong: every way to fail, and every place where an error shows itself.

The server of most tests repeats the credential that it got, in each form in which one may come back, wherever an HTTP
answer has room for it. What the answer itself says (`ChatCompletion.text`, `.partial`) is the service's and stays as it
is, and so do the values of the caller's own arguments in frames of the caller's.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import logging
import pickle
import socket
import ssl
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from yarl import URL

from inference_async import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    CredentialError,
    InferenceClient,
    InferenceError,
    Limits,
    Timeouts,
)
from inference_async.wire.request import Call, Secret
from inference_async.wire.response import redact
from tests.net.peer import Act, Line, Peer
from tests.support import HELLO, STREAM_HEAD, Connection, RawServer, chunk, event, json_reply

KEY = "Marker/Key+4711==0815"
PROMPT = "marker-prompt-2342"
HERE = Path(__file__).parent

# ---------------------------------------------------------------------------------------------------------------------
# Forms, and where to look for them


def _inside(prefix: str) -> str:
    """Base64 of something that ends in the key, without the characters that hold bits of what is around the key."""
    skipped = -len(prefix) % 3
    bits = KEY.encode()[skipped:]
    return base64.b64encode(bits[: len(bits) // 3 * 3]).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "escaped slash": lambda text: text.replace("/", "\\/"),
    "unicode escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "percent": lambda text: quote(text, safe=""),
    "percent in lower case": lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 of the header": lambda text: base64.b64encode(f"Bearer {text}".encode()).decode(),
    "base64 of a user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
}
"""The forms that redaction knows; `test_redaction_knows_every_form` holds it to all of them."""

SIGHTINGS = {form(KEY).rstrip("=") for form in FORMS.values()} | {_inside(""), _inside("1"), _inside("12")}
SIGHTINGS |= {text.replace("/", "\\/") for text in SIGHTINGS} | {text.replace("\\", "\\\\") for text in SIGHTINGS}
SIGHTINGS = {text.casefold() for text in SIGHTINGS}


def seen(where: Mapping[str, str], wanted: Iterable[str] = SIGHTINGS) -> list[str]:
    """The places that show the key in any form."""
    return [place for place, text in where.items() if any(form in text.casefold() for form in wanted)]


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that stand behind it."""
    todo, known = [error], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in known:
            continue
        known.add(id(each))
        yield each
        todo += [link for link in (each.__cause__, each.__context__) if link is not None]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions


def frames(error: BaseException) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames behind an error, but for those of the tests, which hold what they gave."""
    for each in chain(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if not Path(frame.f_code.co_filename).is_relative_to(HERE):
                yield f"{frame.f_code.co_filename}:{frame.f_code.co_name}", frame.f_locals


_OPENED = ("inference_async", "aiohttp", "yarl", "multidict", "asyncio", "azure")


def reachable(value: object, depth: int = 4, known: set[int] | None = None) -> Iterator[str]:
    """What a reporter of errors that opens values may show: reprs, items of containers, attributes of objects."""
    known = set() if known is None else known
    if id(value) in known:
        return
    known.add(id(value))
    yield value if type(value) is str else repr(value)
    if depth == 0 or isinstance(value, asyncio.AbstractEventLoop):  # which shows what runs at the moment
        return
    inner: list[object] = []
    if isinstance(value, Mapping):
        inner = [part for row in value.items() for part in row]
    elif isinstance(value, list | tuple | set | frozenset):
        inner = list(value)
    elif type(value).__module__.partition(".")[0] in _OPENED and not isinstance(value, type):
        names = {*getattr(value, "__dict__", ()), *getattr(value, "__struct_fields__", ())}
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            names.update((slots,) if isinstance(slots, str) else slots)
        inner = [getattr(value, name) for name in sorted(names) if hasattr(value, name)]
    for part in inner:
        yield from reachable(part, depth - 1, known)


def told(error: BaseException) -> dict[str, str]:
    """Everything an error says of itself, by place, but for the locals of frames."""
    places: dict[str, str] = {}
    for each in chain(error):
        name = type(each).__name__
        places |= {
            f"str of {name}": str(each),
            f"repr of {name}": repr(each),
            f"args of {name}": repr(each.args),
            f"notes of {name}": repr(getattr(each, "__notes__", ())),
            f"attributes of {name}": repr(vars(each)),
        }
        if isinstance(each, InferenceError):
            pickled = pickle.dumps(each)
            places |= {
                f"pickle of {name}": pickled.decode("latin-1"),
                f"unpickled {name}": repr(vars(pickle.loads(pickled))) + repr(pickle.loads(pickled)),
                f"copy of {name}": repr(vars(copy.copy(each))),
                f"deep copy of {name}": repr(vars(copy.deepcopy(each))) + str(copy.deepcopy(each)),
            }
    places["traceback"] = "".join(traceback.format_exception(error))
    return places


def locals_of(error: BaseException) -> dict[str, str]:
    """The locals of frames, as `traceback.TracebackException` with ``capture_locals=True`` shows them."""
    return {
        f"locals of {place}": repr(traceback.FrameSummary("", 0, "", lookup_line=False, locals=values).locals)
        for place, values in frames(error)
    }


def shown(error: BaseException) -> dict[str, str]:
    """Everything an error shows, by place: what it says, and what is within reach of the frames it went through."""
    places = told(error) | locals_of(error)
    for place, values in frames(error):
        places |= {f"{name} in {place}": "\n".join(reachable(value)) for name, value in values.items()}
    return places


def of_client(client: InferenceClient, *others: object) -> dict[str, str]:
    """What the objects show that users hold."""
    objects: tuple[Any, ...] = (client, client.endpoint, client.with_options(model="other"), *others)
    places = {f"{how.__name__} of {type(each).__name__}": how(each) for each in objects for how in (str, repr)}
    places["vars of the client"] = repr(vars(client))
    places["everything in the client"] = "\n".join(reachable(client, depth=6))
    return places


class Log(logging.Handler):
    """All that anybody logs, with its arguments and tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [self.format(record), repr(vars(record))]

    @property
    def places(self) -> dict[str, str]:
        return {f"log {number}": line for number, line in enumerate(self.lines)}


@pytest.fixture
async def log() -> Any:
    """Everything at DEBUG, with asyncio in its debug mode, which names every callback that runs."""
    handler = Log()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    try:
        yield handler
    finally:
        loop.set_debug(False)
        root.setLevel(level)
        root.removeHandler(handler)


# ---------------------------------------------------------------------------------------------------------------------
# Credentials, in each way in which one may be given


class Entra:
    """As azure.identity.aio's; its own repr shows nothing, as theirs do not."""

    def __init__(self, token: str = KEY) -> None:
        self._token = token

    async def get_token(self, *scopes: str) -> Any:
        return SecretToken(self._token)


class SecretToken:
    def __init__(self, token: str) -> None:
        self.token = token
        self.expires_on = 2**33


class HasKey:
    def __init__(self, key: str = KEY) -> None:
        self.key = key


async def token() -> str:
    return KEY


CREDENTIALS: dict[str, Callable[[], dict[str, Any]]] = {
    "key": lambda: {"credential": KEY, "path": "/models"},
    "bearer": lambda: {"credential": KEY},
    "object with a key": lambda: {"credential": HasKey()},
    "token": lambda: {"credential": Entra(), "path": "/models"},
    "provider": lambda: {"credential": token},
    "provider in a thread": lambda: {"credential": lambda: KEY},
    "header": lambda: {"headers": {"api-key": KEY}},
}


def client_of(url: str, *, path: str = "/v1", **options: Any) -> InferenceClient:
    return InferenceClient(url + path, model="m", retries=0, **options)


async def complete(client: InferenceClient) -> None:
    await client.complete(PROMPT)


async def stream(client: InferenceClient) -> None:
    async with client.stream(PROMPT) as answer:
        async for _ in answer:
            pass


METHODS = {"complete": complete, "stream": stream}


QUICK = Timeouts(first_token=0.1, between_tokens=0.1, total=0.2)


async def failed(client: InferenceClient, method: str) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        await METHODS[method](client)
    return caught.value


# ---------------------------------------------------------------------------------------------------------------------
# Answers that repeat what they got


def _body(status: str, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _error(status: str, echo: str) -> bytes:
    body = '{"error": {"message": "bad ECHO", "code": "ECHO", "type": "ECHO", "param": "ECHO"}, "more": ["ECHO"]}'
    return _body(status, body.replace("ECHO", echo).encode())


def _refused(echo: str) -> bytes:
    body = (
        '{"error": {"code": "content_filter", "message": "no: ECHO", "innererror": {"content_filter_result": '
        '{"hate": {"filtered": true, "severity": "ECHO"}, "ECHO": {"filtered": true}}}}}'
    )
    return _body("400 Bad Request", body.replace("ECHO", echo).encode())


def _in_headers(status: str, echo: str, *, location: bool = False) -> bytes:
    names = ["x-echo", "x-request-id", "apim-request-id", "www-authenticate", "retry-after", "content-language"]
    rows = [f"{name}: {echo}" for name in names]
    if location:
        rows.append(f"location: http://{echo}.example:1/{echo}?{echo}#{echo}")
    return _body(status, b"{}", *rows)


def _events(*events: str) -> bytes:
    body = "".join(f"data: {each}\n\n" for each in events).encode()
    return STREAM_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


_FIRST = json.dumps(chunk("Hel"))

ANSWERS: dict[str, Callable[[str], bytes]] = {
    "401": lambda echo: _error("401 Unauthorized", echo),
    "400": lambda echo: _error("400 Bad Request", echo),
    "404": lambda echo: _error("404 Not Found", echo),
    "422": lambda echo: _error("422 Unprocessable Entity", echo),
    "500": lambda echo: _error("500 Internal Server Error", echo),
    "content filter": _refused,
    "401 in headers": lambda echo: _in_headers("401 Unauthorized", echo),
    "429 in headers": lambda echo: _in_headers("429 Too Many Requests", echo),
    "reason of the status": lambda echo: _body(f"403 No {echo} here", b""),
    "redirect": lambda echo: _in_headers("307 Temporary Redirect", echo, location=True),
    "HTML 502": lambda echo: _body("502 Bad Gateway", f"<html>{echo}</html>".encode(), kind="text/html"),
    "HTML 200": lambda echo: _body("200 OK", f"<html>{echo}</html>".encode(), kind=f"text/html; x={echo}"),
    "text 401": lambda echo: _body("401 Unauthorized", f"no {echo}".encode(), kind="text/plain"),
    "broken JSON": lambda echo: _body("200 OK", f'{{"choices": "{echo}'.encode()),
    "another shape": lambda echo: _body("200 OK", f'{{"choices": [{{"message": "{echo}"}}], "{echo}": 1}}'.encode()),
    "another shape, named": lambda echo: _body("200 OK", f'{{"choices": {{"{echo}": "{echo}"}}}}'.encode()),
    "error in a 200": lambda echo: _error("200 OK", echo),
    "error event": lambda echo: _events(_FIRST, f'{{"error": {{"message": "bad {echo}", "code": "{echo}"}}}}'),
    "broken event": lambda echo: _events(_FIRST, f'{{"choices": [{{"delta": "{echo}'),
    "event of another shape": lambda echo: _events(_FIRST, f'{{"choices": [{{"delta": ["{echo}"]}}]}}'),
    "error event by name": lambda echo: _events(_FIRST, f"1\nevent: error\ndata: {echo}"),
    "bad status line": lambda echo: f"HTTP/1.1 {echo} {echo}\r\n\r\n".encode(),
    "no HTTP": lambda echo: f"{echo}\r\n\r\n".encode(),
    "bad header": lambda echo: f"HTTP/1.1 200 OK\r\n{echo}\r\n\r\n".encode(),
    "long header": lambda echo: f"HTTP/1.1 200 OK\r\nx-echo: {echo * 2000}\r\n\r\n".encode(),
    "bad chunk size": lambda echo: STREAM_HEAD + f"{echo}\r\n".encode(),
    "bad gzip": lambda echo: _body("200 OK", echo.encode(), "content-encoding: gzip"),
    "bad UTF-8": lambda echo: _body("200 OK", echo.encode() + b"\xff"),
    "cut": lambda echo: f"HTTP/1.1 200 OK\r\nx-echo: {echo}\r\ncontent-length: 1000\r\n\r\n{echo}".encode(),
}
STREAMED = ("error event", "broken event", "event of another shape", "error event by name", "cut")
NO_HTTP = ("bad status line", "no HTTP", "bad header", "long header", "bad chunk size")
USUAL = ("401", "401 in headers", "redirect", "HTML 200", "another shape", "error event")


def method_of(scenario: str) -> str:
    return "stream" if scenario in STREAMED else "complete"


def repeats(answer: Callable[[str], bytes], form: str = "plain") -> RawServer:
    """A server that answers this once it has got the key."""

    async def respond(connection: Connection) -> bool:
        assert KEY.encode() in connection.head
        await connection.send(answer(FORMS[form](KEY)))
        return False

    return RawServer(respond)


@pytest.mark.parametrize("form", FORMS)
def test_redaction_knows_every_form(form: str) -> None:
    text = f"before {FORMS[form](KEY)} after"
    assert seen({"redacted": redact(text, (KEY,))}) == []


async def check_repeated(scenario: str, form: str, method: str, log: Log, **options: Any) -> None:
    async with repeats(ANSWERS[scenario], form) as server, client_of(server.url, **options) as client:
        error = await failed(client, method)
        assert seen(told(error)) == []
        assert seen(of_client(client)) == []
    assert len(server.requests) == 1
    assert seen(log.places) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", [scenario for scenario in ANSWERS if scenario not in NO_HTTP])
async def test_a_key_that_the_service_repeats(scenario: str, form: str, log: Log) -> None:
    await check_repeated(scenario, form, method_of(scenario), log, credential=KEY)


@pytest.mark.parametrize("scenario", [scenario for scenario in ANSWERS if scenario not in (*NO_HTTP, *STREAMED)])
async def test_a_key_that_the_service_repeats_to_a_stream(scenario: str, log: Log) -> None:
    await check_repeated(scenario, "plain", "stream", log, credential=KEY)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scenario", NO_HTTP)
async def test_a_key_that_is_repeated_in_what_is_not_http(scenario: str, method: str, log: Log) -> None:
    await check_repeated(scenario, "plain", method, log, credential=KEY)


@pytest.mark.parametrize("scenario", USUAL)
@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_any_credential_that_the_service_repeats(credential: str, scenario: str, log: Log) -> None:
    await check_repeated(scenario, "plain", method_of(scenario), log, **CREDENTIALS[credential]())


@pytest.mark.parametrize("scenario", USUAL)
async def test_no_frame_shows_what_the_service_repeats(scenario: str) -> None:
    async with repeats(ANSWERS[scenario]) as server, client_of(server.url, credential=KEY) as client:
        assert seen(locals_of(await failed(client, method_of(scenario)))) == []


async def test_a_key_in_the_head_of_a_good_answer_that_breaks_off(log: Log) -> None:
    head = STREAM_HEAD[:-2] + f"x-echo: {KEY}\r\n\r\n".encode()
    first = event(chunk("Hel"))

    def answer(_: str) -> bytes:
        return head + b"%x\r\n%b\r\n" % (len(first), first)

    async with repeats(answer) as server, client_of(server.url, credential=KEY) as client:
        error = await failed(client, "stream")
        assert error.partial is not None
        assert error.partial.text == "Hel"
        assert seen(told(error)) == []
    assert seen(log.places) == []


# ---------------------------------------------------------------------------------------------------------------------
# Failures in which nobody repeats anything: here not even the locals of frames show the key, and no text the prompt

_PROMPTS = {PROMPT, base64.b64encode(PROMPT.encode()).decode().rstrip("=")}


async def check_failure(error: BaseException, client: InferenceClient, log: Log) -> None:
    assert seen(shown(error)) == []
    assert seen(of_client(client)) == []
    assert seen(told(error), _PROMPTS) == []
    assert seen(of_client(client), _PROMPTS) == []
    await asyncio.sleep(0)
    assert seen(log.places, SIGHTINGS | _PROMPTS) == []


async def _silence(connection: Connection) -> bool:
    await connection.gone.wait()
    return False


async def _stalls(connection: Connection) -> bool:
    await connection.send(STREAM_HEAD)
    await connection.send_chunks(event(chunk("Hel")), end=False)
    await connection.gone.wait()
    return False


def _says(*pieces: bytes) -> Callable[[Connection], Awaitable[bool]]:
    async def answer(connection: Connection) -> bool:
        await connection.send(*pieces)
        return False

    return answer


SERVERS: dict[str, Callable[[Connection], Awaitable[object]]] = {
    "silence": _silence,
    "stall": _stalls,
    "hangs up": _says(),
    "401": _says(_error("401 Unauthorized", "key")),
    "500": _says(_error("500 Internal Server Error", "luck")),
    "broken head": _says(b"HTTP/1.1 what\r\n\r\n"),
    "broken body": _says(_body("200 OK", b"{")),
    "bad UTF-8": _says(_body("200 OK", b'{"a": "\xff"}')),
    "cut": _says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
    "too large": _says(_body("200 OK", b"x" * 3000)),
    "bad chunk": _says(STREAM_HEAD + b"what\r\n"),
    "bad gzip": _says(_body("200 OK", b"what", "content-encoding: gzip")),
    "error event": _says(_events(_FIRST, '{"error": {"message": "busy", "code": 503}}')),
    "no end": _says(_events(_FIRST)),
    "large event": _says(_events(_FIRST, "x" * 3000)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scenario", SERVERS)
async def test_a_failure_shows_neither_key_nor_prompt(scenario: str, method: str, log: Log) -> None:
    small = Limits(max_body_bytes=2000, max_event_bytes=2000, max_error_body_bytes=2000)
    async with (
        RawServer(SERVERS[scenario]) as server,
        client_of(server.url, credential=KEY, limits=small, timeouts=QUICK) as client,
    ):
        await check_failure(await failed(client, method), client, log)


@pytest.mark.parametrize("scenario", ["silence", "401", "error event"])
@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_a_failure_with_any_credential(credential: str, scenario: str, log: Log) -> None:
    given = CREDENTIALS[credential]()
    async with RawServer(SERVERS[scenario]) as server, client_of(server.url, timeouts=QUICK, **given) as client:
        await check_failure(await failed(client, "stream"), client, log)


async def test_a_refused_connection(log: Log) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}", credential=KEY) as client:
            error = await failed(client, "complete")
            assert isinstance(error, APIConnectionError)
            await check_failure(error, client, log)


async def test_a_host_that_is_not_trusted(log: Log) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server, client_of(f"https://localhost:{server.sockets[0].getsockname()[1]}", credential=KEY) as client:
        error = await failed(client, "complete")
        assert "not trusted" in str(error)
        await check_failure(error, client, log)


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_is_cancelled(method: str, log: Log) -> None:
    async with RawServer(_silence) as server, client_of(server.url, credential=KEY) as client:
        task = asyncio.create_task(METHODS[method](client))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        await check_failure(caught.value, client, log)


async def test_a_client_that_is_closed(log: Log) -> None:
    client = client_of("http://127.0.0.1:1", credential=KEY)
    await client.aclose()
    await check_failure(await failed(client, "complete"), client, log)


async def test_what_users_hold_shows_no_key_and_no_prompt(log: Log) -> None:
    async with (
        RawServer(_says(STREAM_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO), HELLO))) as server,
        client_of(server.url, credential=KEY) as client,
        client.stream(PROMPT) as answer,
    ):
        places = of_client(client, answer, Timeouts(), Limits(), client._session, client._session._transport)
        places |= {"open exchange": repr(answer._exchange), "call": repr(answer._call), "vars": repr(vars(answer))}
        completion = await answer.final()
        places |= {"stream": repr(answer), "meta": repr(completion.meta), "completion": repr(completion)}
    assert completion.text == "Hello"
    assert seen(places, SIGHTINGS | _PROMPTS) == []
    assert seen(log.places, SIGHTINGS | _PROMPTS) == []


async def test_the_warning_of_a_dropped_stream() -> None:
    async with RawServer(_stalls) as server, client_of(server.url, credential=KEY) as client:
        answer = client.stream(PROMPT)
        await anext(answer)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del answer
    assert len(caught) == 1
    assert seen({"warning": str(caught[0])}, SIGHTINGS | _PROMPTS) == []


# ---------------------------------------------------------------------------------------------------------------------
# Credentials that fail, and those that cannot be sent


def _raises() -> str:
    raise RuntimeError(f"no luck with {KEY}")


class Failing(Entra):
    async def get_token(self, *scopes: str) -> Any:
        raise RuntimeError(f"no luck with {self._token}")


class Nothing(Entra):
    async def get_token(self, *scopes: str) -> Any:
        return self._token


class Nonsense(Entra):
    async def get_token(self, *scopes: str) -> Any:
        return SecretToken(f"{self._token}\r\nx-evil: 1")


FAILING: dict[str, Callable[[], dict[str, Any]]] = {
    "provider raises": lambda: {"credential": _raises},
    "credential raises": lambda: {"credential": Failing(), "path": "/models"},
    "provider returns nonsense": lambda: {"credential": lambda: f"{KEY}\n"},
    "credential returns text": lambda: {"credential": Nothing(), "path": "/models"},
    "credential returns nonsense": lambda: {"credential": Nonsense(), "path": "/models"},
    "key that has gone bad": lambda: {"credential": HasKey(f"{KEY}\r\n")},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scenario", FAILING)
async def test_a_credential_that_fails(scenario: str, method: str, log: Log) -> None:
    """What a credential raises itself is the cause of our error, and says what it says; ours does not repeat it."""
    async with client_of("http://127.0.0.1:1", **FAILING[scenario]()) as client:
        error = await failed(client, method)
        assert isinstance(error, CredentialError | ConfigurationError)
        its_own = isinstance(error.__cause__, RuntimeError)
        error.__cause__ = error.__context__ = None
        assert seen(told(error) if its_own else shown(error)) == []
        assert seen(of_client(client)) == []
    assert seen(log.places, SIGHTINGS | _PROMPTS) == []


async def _cut(line: Line) -> None:
    await line.request()


async def _not_http(line: Line) -> None:
    await line.request()
    await line.say(f"SSH-2.0-{KEY}\r\n\r\n".encode())


@pytest.mark.parametrize("name", ["subscription-key", "code"])
@pytest.mark.parametrize("act", [None, _cut, _not_http], ids=["refused", "cut", "not HTTP"])
async def test_a_key_in_an_address_that_does_not_answer(act: Act | None, name: str, log: Log) -> None:
    async with Peer(act or _cut) as peer:
        address = f"http://127.0.0.1:{peer.port if act is not None else 1}/v1"
        async with InferenceClient(address, None, retries=0) as client:
            with pytest.raises(InferenceError) as caught:
                await client.request("GET", "info", params={name: KEY})
        assert isinstance(caught.value, APIConnectionError)
        assert seen(shown(caught.value)) == []
    assert seen(log.places) == []


BAD = {
    "line break": f"{KEY}\r\nx-evil: 1",
    "line feed": f"{KEY}\nx-evil: 1",
    "carriage return": f"{KEY}\rx-evil: 1",
    "trailing line feed": f"{KEY}\n",
    "trailing space": f"{KEY} ",
    "NUL": f"{KEY}\x00",
    "escape": f"{KEY}\x1b[2J",
    "delete": f"{KEY}\x7f",
    "non-Latin": f"{KEY}\u2028",
    "letters of another script": f"\u043a\u043b\u044e\u0447{KEY}",
    "half a surrogate": f"{KEY}\ud800",
    "quotes": f'"{KEY}"',
    "the word bearer": f"Bearer {KEY}",
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("wrapped", [str, HasKey, Entra, lambda key: lambda: key], ids=["text", "key", "token", "call"])
async def test_a_key_that_cannot_stand_in_a_header(wrapped: Callable[[str], Any], bad: str) -> None:
    with pytest.raises(ConfigurationError if wrapped in (str, HasKey) else InferenceError) as caught:
        async with client_of("http://127.0.0.1:1", credential=wrapped(BAD[bad]), path="/models") as client:
            await client.complete(PROMPT)
    assert not isinstance(caught.value, APIConnectionError)
    assert seen(shown(caught.value)) == []


@pytest.mark.parametrize("name", ["api_key", "key", "token", "subscription_key"])
def test_a_key_under_a_name_of_other_clients(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client_of("http://127.0.0.1:1", **{name: KEY})
    assert seen(shown(caught.value)) == []


@pytest.mark.parametrize("name", ["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"])
def test_a_key_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    monkeypatch.setenv(name, KEY)
    assert seen(of_client(InferenceClient())) == []
    with pytest.raises(ConfigurationError) as caught:
        InferenceClient(extra_mode="never")  # type: ignore[arg-type]
    assert seen(shown(caught.value)) == []


_INJECTED = [name for name in BAD if name not in ("trailing space", "quotes", "the word bearer")]


@pytest.mark.parametrize("bad", _INJECTED)
@pytest.mark.parametrize("name", ["api-key", "Authorization", "x-ms-client-request-id", "x-own"])
async def test_a_header_that_breaks_out_of_its_line(name: str, bad: str) -> None:
    headers = {name: BAD[bad]}
    with pytest.raises(ConfigurationError) as caught:
        client_of("http://127.0.0.1:1", headers=headers)
    assert seen(told(caught.value)) == []
    async with client_of("http://127.0.0.1:1") as client:
        for send in (client.complete, client.stream):
            with pytest.raises(ConfigurationError) as caught:
                await send(PROMPT, headers=headers)  # type: ignore[misc]  # (one of them raises before there is anything to await)
            assert seen(told(caught.value), SIGHTINGS | _PROMPTS) == []
        with pytest.raises(ConfigurationError):
            client.with_options(headers=headers)


@pytest.mark.parametrize(
    "name", ["x-own\r\nx-evil", "x own", "x-own:", "", "x-öwn", "content-length", "Transfer-Encoding"]
)
def test_a_name_of_a_header_that_cannot_be_sent(name: str) -> None:
    with pytest.raises(ConfigurationError):
        client_of("http://127.0.0.1:1", headers={name: "1"})


@pytest.mark.parametrize("path", ["/models", "/v1", "/openai/deployments/m"])
async def test_a_model_with_line_breaks_stays_in_the_body(path: str) -> None:
    async with (
        RawServer(_says(json_reply({}, "500 No"))) as server,
        InferenceClient(server.url + path, KEY, model="m\r\nx-evil: 1\r\n\r\n", retries=0) as client,
    ):
        await failed(client, "complete")
    assert len(server.requests) == 1
    head, body = server.requests[0]
    assert b"evil" not in head
    assert json.loads(body)["model"] == "m\r\nx-evil: 1\r\n\r\n"


# ---------------------------------------------------------------------------------------------------------------------
# Redirects and plain http


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("credential", ["key", "bearer", "token"])
async def test_a_redirect_reaches_no_second_origin(credential: str, status: int, method: str) -> None:
    async with RawServer(_says(HELLO)) as other:
        place = other.url.replace("127.0.0.1", "localhost")
        answer = json_reply({}, f"{status} Elsewhere", [f"location: {place}/v1/chat/completions", "set-cookie: a=b"])
        async with (
            RawServer(_says(answer)) as server,
            client_of(server.url, **CREDENTIALS[credential]()) as client,
        ):
            error = await failed(client, method)
    assert isinstance(error, APIStatusError)
    assert error.status == status
    assert str(error).endswith(
        f", a redirect to {place[7:]}; redirects are not followed, so that the key and the prompt stay with one host: "
        "check the endpoint's URL"
    )
    assert (len(server.requests), other.connections) == (1, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.evil.example",
        "http://localhost.",
        "http://a.localhost",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1.",
        "http://127.0.0.1%2eevil.example",
        "http://0.0.0.0",
        "http://0",
        "http://0x7f.1",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://127.0.0.1\\.evil.example",
        "http://\uff11\uff12\uff17.0.0.1",
        "http://127\u30020\u30020\u30021",
        "http://\uff4cocalhost",
        "http://128.0.0.1",
        "http://10.0.0.1",
        "http://169.254.169.254",
        "http://[::]",
        "http://[::2]",
        "http://[fe80::1]",
        "http://[::127.0.0.1]",
        "http://[fc00::1]",
        "http://evil.example/127.0.0.1",
        "http://evil.example?localhost",
        "http://evil.example#localhost",
        "http://evil.example;localhost",
        "http://key@127.0.0.1",
        "http://127.0.0.1@evil.example",
        "http://localhost:80@evil.example",
        "http://127.0.0.1\\@evil.example",
        "http://evil.example\\@127.0.0.1",
        "https://user:pass@example.test",
    ],
)
def test_no_credential_to_what_only_looks_like_this_machine(url: str) -> None:
    for given in ({"credential": KEY}, {"credential": token}, {"credential": Entra(), "scope": "s"}):
        with pytest.raises(ConfigurationError) as caught:
            client_of(url, **given)
        assert seen(told(caught.value)) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://LOCALHOST:8000",
        "http://127.0.0.1:8000",
        "http://127.255.255.254",
        "http://[::1]:8000",
        "http://[0:0:0:0:0:0:0:1]",
        "https://example.test",
        "https://localhost.evil.example",
    ],
)
def test_where_a_credential_may_go(url: str) -> None:
    client = client_of(url, credential=KEY)
    asked = URL(client.endpoint.url("chat/completions"), encoded=True)  # as the transport reads it
    assert asked.host == client.endpoint.host


@pytest.mark.parametrize("header", ["api-key", "Authorization", "Ocp-Apim-Subscription-Key"])
async def test_no_credential_in_a_header_over_plain_http(header: str) -> None:
    key_header = header if header.startswith("Ocp") else None
    with pytest.raises(ConfigurationError, match="plain http"):
        await InferenceClient("http://example.test/v1", headers={header: KEY}, key_header=key_header).complete(PROMPT)
    async with InferenceClient("http://example.test/v1", key_header=key_header) as client:
        with pytest.raises(ConfigurationError, match="plain http") as caught:
            await client.complete(PROMPT, headers={header: KEY})
        assert seen(told(caught.value), SIGHTINGS | _PROMPTS) == []


def test_a_secret_that_is_made_into_other_text_is_plain_text() -> None:
    """Why what is made of a header is made a `Secret` again: a slice, or a copy in lower case, would show itself."""
    assert type(Secret(KEY)[1:]) is str
    assert repr(copy.deepcopy(Secret(KEY))) == repr(pickle.loads(pickle.dumps(Secret(KEY)))) == "'[secret]'"
    assert seen({"call": repr(Call(method="GET", url=f"http://h/?key={KEY}", headers={"a": Secret(KEY)}))}) == []
