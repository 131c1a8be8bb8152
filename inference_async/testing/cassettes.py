"""Cassettes: real traffic recorded once, and replayed for ever.

A cassette is a file of JSON lines: a head, then one line for each request and its answer, in the order of the requests.
An answer is kept as it came: the pieces of its body, with the seconds waited for each; a replayed stream streams.

What is written is chosen, not what is left out: of headers and query only those named here, of the address only the
path. Whatever authorised the call is taken out of bodies, path and headers, too, wherever it appears.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec

from ..errors import APIConnectionError, APITimeoutError, ConfigurationError, ConnectionKind, InferenceError
from ..net.detour import DETOUR, Onward, Tape
from ..net.transport import Reply
from ..types.base import is_array, is_object
from ..wire.request import Call, Secret, secrets_in
from ..wire.response import redact
from .differences import differences
from .errors import NoAnswerError
from .stopwatch import Stopwatch
from .transport import ScriptedReply

__all__ = ["Cassette", "Mode", "cassette"]

T = TypeVar("T")
Mode: TypeAlias = Literal["once", "new_episodes", "none"]

_MODES: Final = ("once", "new_episodes", "none")
_VERSION: Final = 1
_MOST_DIFFERENCES: Final = 12
_REQUEST_HEADERS: Final = ("accept", "content-type", "extra-parameters")
_QUERY: Final = ("api-version",)
_HEADERS: Final = frozenset(
    {
        "apim-request-id",
        "content-type",
        "date",
        "retry-after",
        "retry-after-ms",
        "x-ms-deployment-name",
        "x-ms-error-code",
        "x-ms-region",
        "x-ms-request-id",
        "x-ms-retry-after-ms",
        "x-request-id",
        *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    }
)
"""Of an answer's head. Its content coding is undone where this room meets it, and so is its length."""

_NOT_PROMPTS: Final = frozenset(
    {
        ("encoding_format",),
        ("input_type",),
        ("messages", "content", "type"),
        ("messages", "role"),
        ("messages", "tool_calls", "type"),
        ("model",),
        ("reasoning_effort",),
        ("response_format",),
        ("response_format", "type"),
        ("tool_choice",),
        ("tool_choice", "type"),
        ("tools", "type"),
    }
)
"""Where text in a request is none of the user's; any other text is a prompt, where prompts are removed."""


class _Head(msgspec.Struct, kw_only=True):
    """The first line of the file."""

    cassette: int
    prompts: Literal["kept", "digests"]


class _Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request: its body as JSON, or the digest of what is none."""

    method: str
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: Any = None

    def key(self) -> str:
        """What two requests share that are the same."""
        return json.dumps([self.method, self.path, self.body], sort_keys=True, ensure_ascii=False)


class _Raw(msgspec.Struct):
    """Bytes that are no text by themselves, as those of a character that was cut."""

    base64: bytes


class _Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An answer.

    Attributes:
        seconds: how long its head took.
        pieces: those of the body, each with the seconds waited for it.
        end: ``whole``; ``left`` where the client read no further; else what went wrong with the connection.
    """

    status: int
    headers: dict[str, str] = {}
    seconds: float = 0.0
    pieces: list[tuple[float, str | _Raw]] = []
    end: str = "whole"


class _Recording(msgspec.Struct, kw_only=True):
    """A line of the file."""

    request: _Request
    answer: _Answer


class Cassette:
    """A cassette in a ``with`` block, made by `cassette`; see there.

    Attributes:
        path: the file.
        mode: which of the modes.
        played: how many answers were replayed.
    """

    def __init__(self, path: str | os.PathLike[str], *, mode: Mode = "once", prompts: bool = True, pace: float = 1.0):
        if mode not in _MODES:
            raise ConfigurationError(f"got mode={mode!r}, expected one of {', '.join(map(repr, _MODES))}")
        if not 0 <= pace < math.inf:
            raise ConfigurationError(f"got pace={pace!r}, expected a factor on the delays, 0 or more")
        self.path = Path(path)
        self.mode: Mode = mode
        self.played = 0
        self._pace = pace
        self._prompts = prompts
        self._records = False
        self._recordings: list[_Recording] = []
        self._left: list[_Recording] = []
        self._takes: list[_Take] = []
        self._before: Tape | None = None

    @property
    def recorded(self) -> int:
        """How many answers were recorded."""
        return len(self._takes)

    def __enter__(self) -> Self:
        recordings = self._load()
        self._records = self.mode == "new_episodes" or (self.mode == "once" and recordings is None)
        self._recordings = recordings or []
        self._left = list(self._recordings)
        self._takes = []
        self.played = 0
        self._before, DETOUR.tape = DETOUR.tape, self._answer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        DETOUR.tape = self._before
        if self._takes:
            self._save()

    async def _answer(self, call: Call, onward: Onward) -> Reply:
        request = self._request_of(call)
        recording = self._taken(request)
        if recording is not None:
            self.played += 1
            answer = recording.answer
            reply = ScriptedReply(_replayed(answer, self._pace), status=answer.status, headers=answer.headers)
            await reply.wait(answer.seconds * self._pace)
            return reply
        if not self._records:
            raise NoAnswerError(self._complaint(request))
        take = _Take(request, _secrets_of(call))
        self._takes.append(take)
        try:
            return await take.begun(onward, call)
        except BaseException:
            self._takes.remove(take)
            raise

    def _taken(self, request: _Request) -> _Recording | None:
        """The first recording of this request that was not played yet."""
        key = request.key()
        for index, recording in enumerate(self._left):
            if recording.request.key() == key:
                return self._left.pop(index)
        return None

    def _request_of(self, call: Call) -> _Request:
        secrets = _secrets_of(call)
        url = urlsplit(call.url)
        body: Any = None
        if call.body:
            try:
                body = json.loads(call.body)
            except (ValueError, RecursionError):
                body = _digest(call.body)
        body = _redacted(body, secrets)
        return _Request(
            method=call.method,
            path=redact(url.path, secrets),
            query={name: redact(value, secrets) for name, value in parse_qsl(url.query) if name in _QUERY},
            headers={name: redact(call.headers[name], secrets) for name in _REQUEST_HEADERS if name in call.headers},
            body=body if self._prompts else _without_prompts(body),
        )

    def _complaint(self, request: _Request) -> str:
        """What is wrong, a line for each difference."""
        what = f"{self.path} holds no answer to {request.method} {request.path}"
        advice = "delete the file to record it anew, or add to it with mode='new_episodes'"
        if not self._recordings:
            return f"{what}: it is empty or not there, and mode={self.mode!r} records nothing; {advice}"
        key = request.key()
        same = sum(recording.request.key() == key for recording in self._recordings)
        if same:
            times = "once" if same == 1 else f"{same} times"
            return f"{what}: it was recorded {times}, and is asked for once more; {advice}"
        near = [
            differences(recording.request.body, request.body)
            for recording in self._recordings
            if (recording.request.method, recording.request.path) == (request.method, request.path)
        ]
        if not near:
            asked = sorted({f"{each.request.method} {each.request.path}" for each in self._recordings})
            return f"{what}: it holds {', '.join(asked)}; {advice}"
        found = min(near, key=len)
        rows = [f"  {row}" for row in found[:_MOST_DIFFERENCES]]
        if len(found) > len(rows):
            rows.append(f"  and {len(found) - len(rows)} more")
        nearest = "the one of that path" if len(near) == 1 else f"the nearest of the {len(near)} of that path"
        return "\n".join([f"{what}: {nearest} differs in", *rows, advice])

    def _load(self) -> list[_Recording] | None:
        """What the file holds; None if there is none."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"the cassette {self.path} cannot be read: {error.strerror}") from None
        head = self._read(1, lines[0] if lines else b"", _Head)
        if head.cassette != _VERSION:
            raise ConfigurationError(f"{self.path} is a cassette of version {head.cassette}, expected {_VERSION}")
        recordings = [self._read(number, line, _Recording) for number, line in enumerate(lines[1:], 2)]
        if not self._prompts and head.prompts == "kept":
            raise ConfigurationError(
                f"got prompts=False for {self.path}, which was recorded with prompts; delete the file to record it anew"
            )
        self._prompts = head.prompts == "kept"
        return recordings

    def _read(self, number: int, line: bytes, cls: type[T]) -> T:
        try:
            return msgspec.json.decode(line, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{self.path}, line {number}, is not that of a cassette: {error}; delete the file to record it anew"
            ) from None

    def _save(self) -> None:
        head = _Head(cassette=_VERSION, prompts="kept" if self._prompts else "digests")
        lines = [head, *self._recordings, *(take.recording() for take in self._takes)]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(data)
            unfinished.replace(self.path)
        except OSError as error:
            raise ConfigurationError(f"the cassette {self.path} cannot be written: {error.strerror}") from None


def cassette(path: str | os.PathLike[str], *, mode: Mode = "once", prompts: bool = True, pace: float = 1.0) -> Cassette:
    """Record the requests and answers of all clients of this process in a ``with`` block, or replay them.

    ::

        with cassette("tests/cassettes/weather.jsonl", pace=0):
            async with InferenceClient(endpoint, key, model="mistral-large-2407") as client:
                ...

    It works for clients made before the block, too, but not for one with a ``transport=`` of your own. Each attempt of
    a call is recorded separately, retries included. Requests match by method, path and body; equal ones get their
    answers in the order of the recording, each once. A client with a token credential still asks for a token: for a
    replay, give it a key instead; any will do.

    Args:
        path: the file. It is read when the block is entered, and written when it is left, even by an exception.
        mode: ``once`` replays the file if it exists, and records it if not; ``new_episodes`` replays what it can and
            records the rest; ``none`` never records.
        prompts: write the texts of requests to the file. Otherwise each is replaced by its digest, which still matches;
            whoever guesses a text can check it. Names of fields, numbers and the model stay, and an answer may repeat
            the question.
        pace: a factor for the recorded delays: 1 is as recorded, 0 is without any.

    Raises:
        ConfigurationError: an argument is wrong; or, on the way in or out, the file cannot be read or written.

    Inside the block, a call without an answer raises a `NoAnswerError`.
    """
    return Cassette(path, mode=mode, prompts=prompts, pace=pace)


class _Take:
    """A recording under way."""

    def __init__(self, request: _Request, secrets: tuple[str, ...]) -> None:
        self._request = request
        self._secrets = secrets
        self._answer = _Answer(status=0, end="left")
        self._pieces: list[tuple[float, bytes]] = []

    async def begun(self, onward: Onward, call: Call) -> Reply:
        """Ask the network."""
        watch = Stopwatch()
        reply = await onward(call)
        self._answer.seconds = watch.seconds
        self._answer.status = reply.status
        self._answer.headers = {
            name: redact(value, self._secrets) for name, value in reply.headers.items() if name in _HEADERS
        }
        return _RecordingReply(reply, self)

    def piece(self, piece: bytes, seconds: float) -> None:
        """A piece has come; an empty one is the end."""
        if piece:
            self._pieces.append((seconds, piece))
        else:
            self.end("whole")

    def end(self, how: str) -> None:
        """It is over."""
        self._answer.end = how

    def recording(self) -> _Recording:
        """What is to be written."""
        self._answer.pieces = [(seconds, _text(piece)) for seconds, piece in _cleaned(self._pieces, self._secrets)]
        return _Recording(request=self._request, answer=self._answer)


class _RecordingReply:
    """A reply that is written down as it is read."""

    def __init__(self, reply: Reply, take: _Take) -> None:
        self._reply = reply
        self._take = take
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers

    async def read(self) -> bytes:
        """See `Reply.read`."""
        watch = Stopwatch()
        try:
            piece = await self._reply.read()
        except APIConnectionError as error:
            if not isinstance(error, APITimeoutError):  # a limit of the client's own, which says nothing of the answer
                self._take.end(error.kind)
            raise
        self._take.piece(piece, watch.seconds)
        return piece

    async def finish(self) -> None:
        """See `Reply.finish`."""
        self._take.end("whole")
        await self._reply.finish()

    def close(self, error: InferenceError | None = None) -> None:
        """See `Reply.close`."""
        self._reply.close(error)


def _replayed(answer: _Answer, pace: float) -> Iterator[bytes | float | InferenceError]:
    for seconds, piece in answer.pieces:
        if seconds * pace:
            yield seconds * pace
        yield piece.encode() if isinstance(piece, str) else piece.base64
    if answer.end == "left":
        yield APIConnectionError(
            "the recording ends here: the client that was recorded read no further", kind="cut", phase="body"
        )
    elif answer.end != "whole":
        kind = cast("ConnectionKind", answer.end)
        yield APIConnectionError("the connection was lost here when this was recorded", kind=kind, phase="body")


def _secrets_of(call: Call) -> tuple[str, ...]:
    headers = (value.rpartition(" ")[2] for value in call.headers.values() if isinstance(value, Secret))
    return (*headers, *secrets_in(call.url))


def _cleaned(pieces: list[tuple[float, bytes]], secrets: tuple[str, ...]) -> Iterable[tuple[float, bytes]]:
    """The pieces without the secrets; as one piece, if a secret was cut between two."""
    cleaned = [(seconds, _clean(piece, secrets)) for seconds, piece in pieces]
    whole = b"".join(piece for _, piece in cleaned)
    clean = _clean(whole, secrets)
    return cleaned if clean == whole else [(sum(seconds for seconds, _ in pieces), clean)]


def _clean(data: bytes, secrets: tuple[str, ...]) -> bytes:
    return redact(data.decode("latin-1"), secrets).encode("latin-1")  # which loses nothing, and a secret is ASCII


def _text(piece: bytes) -> str | _Raw:
    with contextlib.suppress(UnicodeDecodeError):
        return piece.decode()
    return _Raw(piece)


def _redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return redact(value, secrets)
    if is_array(value):
        return [_redacted(item, secrets) for item in value]
    if is_object(value):
        return {redact(name, secrets): _redacted(item, secrets) for name, item in value.items()}
    return value


def _without_prompts(value: Any, place: tuple[str, ...] = ()) -> Any:
    if isinstance(value, str):
        return value if place in _NOT_PROMPTS else _digest(value.encode("utf-8", "surrogatepass"))
    if is_array(value):
        return [_without_prompts(item, place) for item in value]
    if is_object(value):
        return {name: _without_prompts(item, (*place, name)) for name, item in value.items()}
    return value


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
