"""What a server does differently: each check against answers that differ, and all of them against every dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from inference_async import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    InferenceClient,
)
from inference_async.emulator import Emulator, FaultServer
from inference_async.testing import CHECKS, check_conformance, chunks, completion, sse, tool_call
from inference_async.testing.conformance import Verdict, _found
from inference_async.testing.lab import Heard, Lab, Tap
from inference_async.wire.endpoints import Dialect
from tests.conformance.test_captures import SERVERS, capture
from tests.conformance.test_dialects import Way, each_way
from tests.support import Connection, RawServer, json_reply


class Given(Lab):
    """A server that answers as it is given: whole answers, streams, or both the same."""

    def __init__(self, heard: Heard, *, dialect: Dialect = "generic") -> None:
        tap = Tap()
        client = InferenceClient("http://localhost/v1", "any-key", model="m", dialect=dialect, transport=tap)
        super().__init__(client, tap)
        self._given = heard

    async def ask(self, fields: Mapping[str, Any] | None = None, **_: Any) -> Heard:
        return self._given


def heard(body: list[bytes] | bytes | dict[str, Any], status: int = 200, name: str = "x-name") -> Heard:
    """An answer as it came, with a header of this name; a list is a stream."""
    events = isinstance(body, list)
    data = b"".join(body) if isinstance(body, list) else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/event-stream" if events else "application/json"
    answer = Heard(status, {"content-type": kind, name: "1"})
    answer.body = data
    return answer


def whole(text: str | None = "hi", **changes: Any) -> dict[str, Any]:
    """A whole answer; changes of its choice have a name that begins with `choice_`, of its message `message_`."""
    body = completion(text).to_dict() | {key: value for key, value in changes.items() if "_" not in key}
    for key, value in changes.items():
        where, _, name = key.partition("_")
        if where == "choice":
            body["choices"][0][name] = value
        if where == "message":
            body["choices"][0]["message"][name] = value
    return body


def stream(*events: Any, done: bool = True) -> list[bytes]:
    said = [b"data: %b\n\n" % json.dumps(event).encode() for event in events]
    return [*said, b"data: [DONE]\n\n"] if done else said


def piece(text: str = "hi", finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **delta}, "finish_reason": finish}]}


USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
GOOD: Final = stream(piece(role="assistant"), piece("", "stop"))
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
SAME: Final = "as Azure does"


def called(**changes: Any) -> dict[str, Any]:
    return whole(None, message_tool_calls=[CALL | changes], choice_finish_reason="tool_calls")


def call_piece(**changes: Any) -> dict[str, Any]:
    return piece("", tool_calls=[{"index": 0, **CALL, **changes}])


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [
        ("whole answer", heard(whole()), SAME),
        ("whole answer", heard(b"<html>"), "breaks this client: got 200"),
        ("whole answer", heard(whole(object="chat")), "differs: object is 'chat', not 'chat.completion'"),
        ("whole answer", heard(whole(message_content=[])), "differs: content is [], not text"),
        (
            "whole answer",
            heard(whole(choice_finish_reason="MAX_TOKENS")),
            "differs: finish_reason is 'MAX_TOKENS'; this client reads it as 'MAX_TOKENS'",
        ),
        ("usage", heard(whole()), SAME),
        ("usage", heard(whole(usage=None)), "differs: a whole answer has no usage"),
        ("usage", heard(whole(usage={"prompt_tokens": 1})), "differs: usage lacks numbers: {'prompt_tokens': 1}"),
        ("usage", heard(whole(usage=USAGE | {"total_tokens": 5})), "differs: usage does not add up: 1 + 1, not 5"),
        ("content types", heard(whole()), "differs: a whole answer comes as application/json, a stream as application"),
        ("request id", heard(whole(), name="apim-request-id"), SAME),
        ("request id", heard(whole(), name="x-ms-client-request-id"), "differs: no header names the request"),
        ("stream", heard(GOOD), SAME),
        ("stream", heard(GOOD[:1]), "breaks this client: the stream ended after 1 chunk"),
        ("stream", heard(whole()), "differs: a stream was asked for, and the whole answer came at once"),
        ("stream", heard({"detail": "no streams"}, 400), "could not be asked: the server answers 400: no streams"),
        ("[DONE]", heard(GOOD), SAME),
        ("[DONE]", heard(GOOD[:-1]), "differs: no [DONE]: the end is known by the finish reason alone"),
        ("[DONE]", heard([*GOOD, *GOOD[:1]]), "differs: something comes behind [DONE]"),
        ("[DONE]", heard({}, 400), "could not be asked: a stream is refused with 400"),
        ("truncation", heard(GOOD), SAME),
        ("truncation", heard(GOOD[:-1]), SAME),
        ("truncation", heard(stream(piece())), "differs: no finish reason in a stream"),
        ("truncation", heard(stream(piece(), done=False)), "breaks this client: neither [DONE] nor a finish reason"),
        ("role", heard(GOOD), SAME),
        ("role", heard(stream(piece())), "differs: no chunk names the role"),
        ("role", heard(stream(piece(), piece(role="assistant"))), "differs: the role is not in the first chunk"),
        ("role", heard(stream(*[piece(role="assistant")] * 3)), "differs: 3 of 3 chunks name the role"),
        ("empty choices", heard(stream(piece(), {"choices": [], "usage": USAGE})), SAME),
        ("empty choices", heard(stream({"choices": [], "prompt_filter_results": [{}]}, piece())), SAME),
        ("empty choices", heard(stream({"choices": []}, piece())), "differs: 1 of 2 chunks have no choices, and say"),
        ("empty choices", heard(stream({"type": "ping"}, piece())), "differs: 1 of 2 events have no choices at all"),
        ("usage in a stream", heard(stream(piece(), {"choices": [], "usage": USAGE})), SAME),
        ("usage in a stream", heard(GOOD), "differs: usage comes never, not in a chunk of its own"),
        (
            "usage in a stream",
            heard(stream(*[piece() | {"usage": USAGE}] * 2)),
            "differs: usage comes in every chunk, not in a chunk of its own",
        ),
        (
            "usage in a stream",
            heard(stream(piece(), *[piece() | {"usage": USAGE}] * 2)),
            "differs: usage comes in 2 chunks, not in a chunk of its own",
        ),
        ("usage in a stream", heard(stream(piece(), piece() | {"usage": USAGE})), "differs: usage comes beside text"),
        ("usage in a stream", heard({}, 400), "differs: stream_options is refused with 400"),
        ("usage unasked", heard(GOOD), SAME),
        (
            "usage unasked",
            heard(stream(piece(), piece("", "stop") | {"usage": USAGE})),
            "differs: usage comes unasked, with the finish reason",
        ),
        ("keep-alives", heard(GOOD), SAME),
        ("keep-alives", heard([b": ping\n\n", *GOOD]), "differs: 1 comments among 4 lines of a stream"),
        ("fields of events", heard(GOOD), SAME),
        (
            "fields of events",
            heard([b"event: message\nid: 1\n", *GOOD]),
            "differs: events have the fields data, event, id",
        ),
        ("line ends", heard(GOOD), SAME),
        ("line ends", heard([event.replace(b"\n", b"\r\n") for event in GOOD]), "differs: lines end in CRLF or CR"),
        ("limit of tokens", heard(whole(choice_finish_reason="length")), SAME),
        ("limit of tokens", heard(whole()), "differs: an answer over its limit of tokens ends with 'stop'"),
        ("limit of tokens", heard({}, 500), "could not be asked: the server answers 500"),
        ("tool call", heard(called()), SAME),
        ("tool call", heard(whole()), "could not be asked: the model called no tool"),
        ("tool call", heard({"error": {"message": "no tools"}}, 400), "could not be asked: the server answers 400: no"),
        ("tool call", heard(called(id="")), "differs: a call has no id"),
        ("tool call", heard(called(type="tool")), "differs: the type of a call is 'tool'"),
        ("tool call", heard(called(function=None)), "differs: a call is {"),
        (
            "tool call",
            heard(called(function={"name": "f", "arguments": {"city": "Oslo"}})),
            "differs: arguments are {'city': 'Oslo'}, not text",
        ),
        ("tool call", heard(called(function={"name": "f", "arguments": "{"})), "differs: arguments are no JSON object"),
        (
            "tool call",
            heard(called() | {"choices": [called()["choices"][0] | {"finish_reason": "function_call"}]}),
            "differs: finish_reason is 'function_call' beside a call",
        ),
        ("tool call, streamed", heard(sse(chunks(tool_calls=[tool_call("f", a=1), tool_call("g", a=2)]))), SAME),
        ("tool call, streamed", heard(stream(call_piece(), piece("", "tool_calls"))), SAME),
        ("tool call, streamed", heard(GOOD), "could not be asked: the model called no tool"),
        ("tool call, streamed", heard({}, 400), "could not be asked: the server answers 400"),
        ("tool call, streamed", heard(stream(call_piece(index=None), piece("", "stop"))), "differs: pieces of a call"),
        (
            "tool call, streamed",
            heard(stream(call_piece(), call_piece(function={"arguments": ""}), piece("", "stop"))),
            "differs: the id of a call is missing, or comes again and again",
        ),
        (
            "tool call, streamed",
            heard(stream(call_piece(function={"name": "f", "arguments": {"a": 1}}), piece("", "stop"))),
            "differs: pieces of the arguments are not text",
        ),
        (
            "tool call, streamed",
            heard(stream(call_piece(function={"name": "f", "arguments": "{"}), piece("", "stop"))),
            "breaks this client: the pieces of a call make no call with arguments in JSON",
        ),
        ("tool call, streamed", heard(stream(call_piece(), done=False)), "breaks this client: the stream ended"),
        ("JSON mode", heard(whole('{"a": 1}')), SAME),
        ("JSON mode", heard(whole('```json\n{"a": 1}\n```')), "differs: the text is no JSON object by itself"),
        ("JSON schema", heard({}, 400), "could not be asked: the server answers 400"),
        ("error: bad request", heard({"error": {"message": "bad"}}, 400), SAME),
        ("error: bad request", heard({"detail": "bad"}, 422), SAME),
        ("error: bad request", heard(whole()), "differs: messages that are no list gets 200, as if nothing were wrong"),
        (
            "error: bad request",
            heard({"error": {"message": "bad"}}, 500),
            "differs: messages that are no list gets 500, not 400 or 422",
        ),
        ("error: wrong key", heard({"error": "bad"}, 401), "differs: a wrong key is told as text under 'error'"),
        ("error: wrong key", heard({"error": {"msg": "bad"}}, 401), "differs: a wrong key is told without a message"),
        ("error: wrong key", heard(b"", 401), "differs: a wrong key is told with no body"),
        ("error: wrong key", heard([b"bad"], 401), "differs: a wrong key is told in text/event-stream, not in JSON"),
        ("error: wrong key", heard(b'["bad"]', 401), "differs: a wrong key is told as ['bad']"),
        (
            "error: no such route",
            heard({"errors": [], "code": 1}, 404),
            "differs: a route that is not there is told under code, errors",
        ),
        ("error: no such model", heard({"error": {"message": "no"}}, 404), SAME),
        ("unknown parameter", heard(whole()), "differs: an unknown parameter gets 200, as if nothing were wrong"),
        ("extra-parameters: drop", heard(whole()), "could not be asked: this dialect has no extra-parameters header"),
    ],
)
async def test_each_check(check: str, answer: Heard, expected: str) -> None:
    assert str(await _found(check, CHECKS[check], Given(answer))).startswith(expected)


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [
        ("usage in a stream", heard(stream(piece(), piece("", "stop") | {"usage": USAGE})), SAME),
        ("usage in a stream", heard(GOOD), "differs: usage comes never, not with the finish reason"),
        ("usage unasked", heard(stream(piece(), piece("", "stop") | {"usage": USAGE})), SAME),
        ("usage unasked", heard(GOOD), "differs: no usage unless it is asked for"),
        ("unknown parameter", heard({"detail": "no"}, 400), SAME),
        ("extra-parameters: pass-through", heard(whole()), SAME),
        ("extra-parameters: pass-through", heard({}, 422), SAME),
        ("extra-parameters: pass-through", heard({}, 500), "differs: an unknown parameter gets 500"),
        ("extra-parameters: drop", heard(whole()), SAME),
        ("extra-parameters: drop", heard({}, 400), "differs: an unknown parameter gets 400"),
        ("extra-parameters: error", heard({"detail": "no"}, 400), SAME),
        ("extra-parameters: error", heard(whole()), "differs: an unknown parameter gets 200, as if nothing were wrong"),
    ],
)
async def test_each_check_in_the_models_dialect(check: str, answer: Heard, expected: str) -> None:
    assert str(await _found(check, CHECKS[check], Given(answer, dialect="models"))).startswith(expected)


@each_way
async def test_the_emulator_does_as_azure_does(way: Way) -> None:
    async with Emulator(pace=0) as emulator:
        findings = await check_conformance(way.url(emulator), emulator.key, model="m", **way.options)
    assert [each.name for each in findings] == list(CHECKS)
    others = {each.name: each.verdict for each in findings if each.verdict != "same"}
    expected = dict.fromkeys([name for name in CHECKS if name.startswith("extra-parameters")], "unasked")
    if way.dialect in ("models", "serverless", "managed"):
        expected = {}
    if way.dialect in ("deployment", "serverless", "managed"):
        expected["error: no such model"] = "unasked"
    if way.dialect == "generic":  # other servers pass over what they do not know, and so does this dialect's emulator
        expected["unknown parameter"] = "differs"
    assert others == expected


STREAMS: Final = (
    "stream",
    "[DONE]",
    "truncation",
    "role",
    "empty choices",
    "usage unasked",
    "keep-alives",
    "line ends",
)


async def test_real_servers_differ_as_they_are_known_to() -> None:
    found: dict[str, dict[str, str]] = {}
    for name in (*(f"{server}-stream" for server in SERVERS), "litellm-mock-keepalive"):
        came = capture(name)
        answer = Heard(came.status, {"content-type": "text/event-stream"})
        answer.body = came.body
        findings = [await _found(check, CHECKS[check], Given(answer)) for check in STREAMS]
        found[name] = {each.name: each.detail for each in findings if each.verdict != "same"}
    assert found == {
        "llama-server-stream": {},
        "litellm-mock-stream": {},
        "litellm-mock-keepalive": {"keep-alives": "6 comments among 13 lines of a stream"},
        "transformers-stream": {
            "[DONE]": "no [DONE]: the end is known by the finish reason alone",
            "usage unasked": "usage comes unasked, with the finish reason",
        },
    }


@pytest.mark.parametrize(
    ("fault", "check", "verdict"),
    [
        ("pings", "keep-alives", "differs"),
        ("no-done", "[DONE]", "differs"),
        ("unfinished", "truncation", "breaks"),
        ("unfinished", "stream", "breaks"),
        ("crlf", "line ends", "differs"),
        ("done-twice", "[DONE]", "differs"),
        ("cut-between-events", "stream", "breaks"),
    ],
)
async def test_a_server_that_misbehaves(fault: str, check: str, verdict: Verdict) -> None:
    async with FaultServer("fine", fault) as server:
        findings = await check_conformance(f"{server.url}/v1", model="m")
    assert {each.name: each.verdict for each in findings}[check] == verdict


async def test_a_server_that_cannot_be_talked_to(emulator: Emulator) -> None:
    with pytest.raises(AuthenticationError):
        await check_conformance(emulator.models_url, "wrong-key", model="m")
    async with FaultServer() as server:
        url = f"{server.url}/v1"
    with pytest.raises(APIConnectionError):
        await check_conformance(url, model="m")
    with pytest.raises(ConfigurationError):
        await check_conformance("https://ai.azure.com/")


async def test_what_was_asked_is_not_asked_again() -> None:
    async with FaultServer() as server:
        await check_conformance(f"{server.url}/v1", model="m")
        bodies = [(request.path, request.body, request.headers.get("authorization")) for request in server.requests]
    assert len(bodies) == len(set(bodies))


async def test_a_model_that_takes_no_max_tokens() -> None:
    async def answer(connection: Connection) -> None:
        if b'"max_tokens"' in connection.body:
            await connection.send(
                json_reply({"error": {"message": "use max_completion_tokens, not max_tokens"}}, "400 Bad Request")
            )
        else:
            await connection.send(json_reply(json.dumps(whole()).encode()))

    async with RawServer(answer) as server:
        findings = await check_conformance(server.url, model="m")
        assert sum(b'"max_tokens"' in body for _, body in server.requests) == 1
    assert findings[0].verdict == "same"
