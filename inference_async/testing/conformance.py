"""What a server does differently: one check for each thing in which those that speak this protocol are known to differ.

The measure is what Azure does in the dialect that the server is addressed in; for a dialect of other servers, what
`/openai/v1` does. A check asks for itself what it needs, so that each can be run alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from ..client import InferenceClient
from ..errors import APIStatusError, ClientStateError, ConfigurationError, CredentialError, InferenceError
from ..types.base import is_array, is_object, is_whole
from ..wire.response import describe_error, request_id_of
from .lab import Heard, Lab, Tap

__all__ = ["CHECKS", "Check", "Finding", "Verdict", "check_conformance"]

Verdict: TypeAlias = Literal["same", "differs", "breaks", "unasked"]


class Finding(msgspec.Struct, frozen=True):
    """What came of a check.

    Attributes:
        name: of the check.
        verdict: ``same`` as Azure does, ``differs`` in a way that this client copes with, ``breaks`` this client, or
            ``unasked``: it could not be found out.
        detail: what differs, or why it could not be asked; empty where nothing does.
    """

    name: str
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        return f"{_WORDS[self.verdict]}{self.detail}"


_WORDS: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        "same": "as Azure does",
        "differs": "differs: ",
        "breaks": "breaks this client: ",
        "unasked": "could not be asked: ",
    }
)


class _Came(NamedTuple):
    """What a check found."""

    verdict: Verdict
    detail: str = ""


_SAME: Final = _Came("same")


def _differs(detail: str) -> _Came:
    return _Came("differs", detail)


def _breaks(error: InferenceError) -> _Came:
    return _Came("breaks", _first_line(error))


def _refused(heard: Heard) -> _Came:
    said = describe_error(heard.body).message
    return _Came("unasked", f"the server answers {heard.status}" + (f": {said[:120]}" if said else ""))


Check: TypeAlias = Callable[[Lab], Awaitable[_Came]]

_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"greeting": {"type": "string"}},
    "required": ["greeting"],
    "additionalProperties": False,
}
_TOOLS: Final = {
    "messages": [{"role": "user", "content": "What is the weather in Oslo? Call the tool."}],
    "tools": [_TOOL],
    "tool_choice": "required",
}
_STREAM: Final = {"stream": True}
_UNKNOWN: Final = {"not_a_parameter": 1}
_COUNTING: Final = {"messages": [{"role": "user", "content": "Count from one to twenty, in words."}]}
_REASONS: Final = ("stop", "length", "tool_calls", "content_filter")


async def _whole_answer(lab: Lab) -> _Came:
    heard = await lab.ask()
    try:
        completion = await lab.read(heard)
    except InferenceError as error:
        return _breaks(error)
    if not is_object(heard.json):
        return _differs("the body is no JSON object by itself")
    if heard.json.get("object") != "chat.completion":
        return _differs(f"object is {_shown(heard.json.get('object'))}, not 'chat.completion'")
    if not isinstance(heard.message.get("content"), str):
        return _differs(f"content is {_shown(heard.message.get('content'))}, not text")
    reason = heard.choice.get("finish_reason")
    if reason not in _REASONS:
        return _differs(f"finish_reason is {_shown(reason)}; this client reads it as {completion.finish_reason!r}")
    return _SAME


async def _usage(lab: Lab) -> _Came:
    heard = await lab.ask()
    usage = heard.json.get("usage") if is_object(heard.json) else None
    if not is_object(usage):
        return _differs("a whole answer has no usage")
    prompt, answer, total = (usage.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    if not (is_whole(prompt) and is_whole(answer) and is_whole(total)):
        return _differs(f"usage lacks numbers: {_shown(usage)}")
    return _SAME if prompt + answer == total else _differs(f"usage does not add up: {prompt} + {answer}, not {total}")


async def _content_types(lab: Lab) -> _Came:
    found = [(await lab.ask()).media, (await lab.ask(_STREAM)).media]
    expected = ["application/json", "text/event-stream"]
    if found == expected:
        return _SAME
    return _differs(f"a whole answer comes as {found[0] or 'nothing'}, a stream as {found[1] or 'nothing'}")


async def _request_id(lab: Lab) -> _Came:
    headers = {name: value for name, value in (await lab.ask()).headers.items() if name != "x-ms-client-request-id"}
    return _SAME if request_id_of(headers) else _differs("no header names the request")


async def _stream(lab: Lab) -> _Came:
    heard = await lab.ask(_STREAM)
    if heard.status >= 300:
        return _refused(heard)
    if not heard.events:
        return _differs("a stream was asked for, and the whole answer came at once")
    try:
        await lab.read(heard, stream=True)
    except InferenceError as error:
        return _breaks(error)
    return _SAME


async def _end_mark(lab: Lab) -> _Came:
    heard = await _streamed(lab)
    marks = [at for at, event in enumerate(heard.events) if event.strip() == b"[DONE]"]
    if not marks:
        return _differs("no [DONE]: the end is known by the finish reason alone")
    return _SAME if marks == [len(heard.events) - 1] else _differs("something comes behind [DONE]")


async def _truncation(lab: Lab) -> _Came:
    heard = await _streamed(lab)
    has_mark = any(event.strip() == b"[DONE]" for event in heard.events)
    has_reason = any(choice.get("finish_reason") for choice in heard.choices)
    if not has_mark and not has_reason:
        return _Came("breaks", "neither [DONE] nor a finish reason: a cut stream looks like a whole one")
    return _SAME if has_reason else _differs("no finish reason in a stream: the end is known by [DONE] alone")


async def _role(lab: Lab) -> _Came:
    deltas = (await _streamed(lab)).deltas
    roles = [at for at, delta in enumerate(deltas) if delta.get("role")]
    if not roles:
        return _differs("no chunk names the role")
    if roles[0] != 0:
        return _differs("the role is not in the first chunk")
    return _SAME if len(roles) == 1 else _differs(f"{len(roles)} of {len(deltas)} chunks name the role")


async def _empty_choices(lab: Lab) -> _Came:
    chunks = (await _streamed(lab)).chunks
    none = sum("choices" not in chunk for chunk in chunks)
    if none:
        return _differs(f"{none} of {len(chunks)} events have no choices at all")
    idle = [chunk for chunk in chunks if chunk["choices"] == [] and not chunk.get("usage")]
    idle = [chunk for chunk in idle if not chunk.get("prompt_filter_results")]
    return _differs(f"{len(idle)} of {len(chunks)} chunks have no choices, and say nothing else") if idle else _SAME


async def _usage_in_a_stream(lab: Lab) -> _Came:
    asked = {} if lab.like_models else {"stream_options": {"include_usage": True}}
    heard = await lab.ask({**_STREAM, **asked})
    if heard.status >= 300:
        return _differs(f"stream_options is refused with {heard.status}; say stream_options=None in the call")
    expected = "with the finish reason" if lab.like_models else "in a chunk of its own"
    place = _place_of_usage(heard)
    return _SAME if place == expected else _differs(f"usage comes {place}, not {expected}")


async def _usage_unasked(lab: Lab) -> _Came:
    place = _place_of_usage(await _streamed(lab))
    if lab.like_models:
        return _differs("no usage unless it is asked for") if place == "never" else _SAME
    return _SAME if place == "never" else _differs(f"usage comes unasked, {place}")


async def _keep_alives(lab: Lab) -> _Came:
    lines = _lines(await _streamed(lab))
    comments = sum(line.startswith(b":") for line in lines)
    return _differs(f"{comments} comments among {len(lines)} lines of a stream") if comments else _SAME


async def _event_names(lab: Lab) -> _Came:
    lines = _lines(await _streamed(lab))
    named = sorted({line.partition(b":")[0].decode("latin-1") for line in lines if line[:1] not in (b"", b":")})
    return _SAME if named == ["data"] else _differs(f"events have the fields {', '.join(named) or 'none'}")


async def _line_ends(lab: Lab) -> _Came:
    return _differs("lines end in CRLF or CR") if b"\r" in (await _streamed(lab)).body else _SAME


async def _cut_by_length(lab: Lab) -> _Came:
    heard = await lab.ask(_COUNTING, limit=2)
    if heard.status >= 300:
        return _refused(heard)
    reason = heard.choice.get("finish_reason")
    return _SAME if reason == "length" else _differs(f"an answer over its limit of tokens ends with {_shown(reason)}")


async def _tool_call(lab: Lab) -> _Came:
    heard = await lab.ask(_TOOLS)
    if heard.status >= 300:
        return _refused(heard)
    calls = heard.message.get("tool_calls")
    if not is_array(calls) or not calls:
        return _Came("unasked", "the model called no tool")
    try:
        await lab.read(heard)
    except InferenceError as error:
        return _breaks(error)
    problem = _problem_of(calls[0])
    if problem:
        return _differs(problem)
    reason = heard.choice.get("finish_reason")
    # A choice that had to be made ends in "stop" on Azure's own models, as the documentation of tool_choice says.
    return _SAME if reason in ("tool_calls", "stop") else _differs(f"finish_reason is {_shown(reason)} beside a call")


async def _tool_call_streamed(lab: Lab) -> _Came:
    heard = await lab.ask({**_STREAM, **_TOOLS})
    if heard.status >= 300:
        return _refused(heard)
    rows = [delta["tool_calls"] for delta in heard.deltas if is_array(delta.get("tool_calls"))]
    pieces = [piece for row in rows for piece in row if is_object(piece)]
    if not pieces:
        return _Came("unasked", "the model called no tool")
    try:
        completion = await lab.read(heard, stream=True)
    except InferenceError as error:
        return _breaks(error)
    if not completion.tool_calls or not is_object(_json(completion.tool_calls[0].function.arguments)):
        return _Came("breaks", "the pieces of a call make no call with arguments in JSON")
    if not all(is_whole(piece.get("index")) for piece in pieces):
        return _differs("pieces of a call have no index")
    if sum(bool(piece.get("id")) for piece in pieces) != len(completion.tool_calls):
        return _differs("the id of a call is missing, or comes again and again")
    functions = [piece["function"] for piece in pieces if is_object(piece.get("function"))]
    if not all(isinstance(function.get("arguments", ""), str) for function in functions):
        return _differs("pieces of the arguments are not text")
    return _SAME


async def _json_mode(lab: Lab) -> _Came:
    question = [{"role": "user", "content": 'Greet me in JSON, such as {"greeting": "..."}.'}]
    heard = await lab.ask({"messages": question, "response_format": {"type": "json_object"}})
    return _value_in(heard)


async def _json_schema(lab: Lab) -> _Came:
    schema = {"name": "greeting", "schema": _SCHEMA, "strict": True}
    heard = await lab.ask({"response_format": {"type": "json_schema", "json_schema": schema}})
    return _value_in(heard)


async def _bad_request(lab: Lab) -> _Came:
    return await _refusal(lab, await lab.ask({"messages": "no list"}), "messages that are no list", (400, 422))


async def _wrong_key(lab: Lab) -> _Came:
    name = lab.endpoint.key_header
    wrong = "Bearer not-the-key" if name == "authorization" else "not-the-key"
    return await _refusal(lab, await lab.ask(headers={name: wrong}), "a wrong key", (401,))


async def _wrong_route(lab: Lab) -> _Came:
    return await _refusal(lab, await lab.ask(path="no/such/route"), "a route that is not there", (404,))


async def _wrong_model(lab: Lab) -> _Came:
    if lab.endpoint.model_in != "body":
        return _Came("unasked", "the address names the model")
    return await _refusal(lab, await lab.ask({"model": "no-such-model"}), "a model that is not there", (400, 404))


async def _unknown_parameter(lab: Lab) -> _Came:
    heard = await lab.ask(_UNKNOWN)
    return await _refusal(lab, heard, "an unknown parameter", (400, 422))


async def _extra_parameters(lab: Lab, mode: str) -> _Came:
    if not lab.like_models:
        return _Came("unasked", "this dialect has no extra-parameters header")
    heard = await lab.ask(_UNKNOWN, headers={"extra-parameters": mode})
    if mode == "error":
        return await _refusal(lab, heard, "an unknown parameter", (400, 422))
    if heard.status < 300 or (mode == "pass-through" and heard.status in (400, 422)):
        return _SAME  # what is passed through, a model may refuse
    return _differs(f"an unknown parameter gets {heard.status}")


async def _passed_through(lab: Lab) -> _Came:
    return await _extra_parameters(lab, "pass-through")


async def _dropped(lab: Lab) -> _Came:
    return await _extra_parameters(lab, "drop")


async def _made_an_error(lab: Lab) -> _Came:
    return await _extra_parameters(lab, "error")


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "whole answer": _whole_answer,
        "usage": _usage,
        "content types": _content_types,
        "request id": _request_id,
        "stream": _stream,
        "[DONE]": _end_mark,
        "truncation": _truncation,
        "role": _role,
        "empty choices": _empty_choices,
        "usage in a stream": _usage_in_a_stream,
        "usage unasked": _usage_unasked,
        "keep-alives": _keep_alives,
        "fields of events": _event_names,
        "line ends": _line_ends,
        "limit of tokens": _cut_by_length,
        "tool call": _tool_call,
        "tool call, streamed": _tool_call_streamed,
        "JSON mode": _json_mode,
        "JSON schema": _json_schema,
        "error: bad request": _bad_request,
        "error: wrong key": _wrong_key,
        "error: no such route": _wrong_route,
        "error: no such model": _wrong_model,
        "unknown parameter": _unknown_parameter,
        "extra-parameters: pass-through": _passed_through,
        "extra-parameters: drop": _dropped,
        "extra-parameters: error": _made_an_error,
    }
)
"""Every check by its name, in the order of the report."""


async def check_conformance(*args: Any, **options: Any) -> list[Finding]:
    """Ask a server some twenty small questions, and say what it does differently from Azure.

    Args:
        *args: endpoint and credential, as of `InferenceClient`.
        **options: the other options of `InferenceClient`, but for those of the transport.

    Returns:
        What came of each of `CHECKS`, in their order.

    Raises:
        ConfigurationError: an option cannot be understood.
        InferenceError: the server cannot be talked to: it does not answer the plainest question.

    Cancelling it cuts the connection.
    """
    tap = Tap()
    keywords: dict[str, Any] = {**options, "transport": tap, "retries": 0}
    async with InferenceClient(*args, **keywords) as client:
        lab = Lab(client, tap)
        await lab.begin()
        return [await _found(name, check, lab) for name, check in CHECKS.items()]


async def _found(name: str, check: Check, lab: Lab) -> Finding:
    try:
        return Finding(name, *await check(lab))
    except (ConfigurationError, CredentialError, ClientStateError):
        raise  # which says nothing of the server
    except InferenceError as error:
        begun = error.phase == "body"  # the answer had begun, and then it broke
        return Finding(name, "breaks" if begun else "unasked", _first_line(error))


async def _streamed(lab: Lab) -> Heard:
    """A plain stream.

    Raises:
        APIStatusError: there is none to be had.
    """
    heard = await lab.ask(_STREAM)
    if heard.status >= 300:
        raise APIStatusError(f"a stream is refused with {heard.status}", status=heard.status)
    return heard


def _lines(heard: Heard) -> list[bytes]:
    return [line for line in heard.body.splitlines() if line]


def _place_of_usage(heard: Heard) -> str:
    """Where a stream says what it cost."""
    places = [chunk for chunk in heard.chunks if is_object(chunk.get("usage"))]
    if not places:
        return "never"
    if len(places) > 1:
        return "in every chunk" if len(places) == len(heard.chunks) else f"in {len(places)} chunks"
    choices = places[0].get("choices")
    if not choices:
        return "in a chunk of its own"
    return "with the finish reason" if choices[0].get("finish_reason") else "beside text"


def _problem_of(call: Any) -> str:
    """What is odd in a call of a tool."""
    function = call.get("function") if is_object(call) else None
    if not is_object(function):
        return f"a call is {_shown(call)}"
    if not isinstance(call.get("id"), str) or not call["id"]:
        return "a call has no id"
    if call.get("type") != "function":
        return f"the type of a call is {_shown(call.get('type'))}"
    if not isinstance(function.get("arguments"), str):
        return f"arguments are {_shown(function.get('arguments'))}, not text"
    return "" if is_object(_json(function["arguments"])) else "arguments are no JSON object"


def _value_in(heard: Heard) -> _Came:
    """Whether the text of an answer is a JSON object."""
    if heard.status >= 300:
        return _refused(heard)
    content = heard.message.get("content")
    if isinstance(content, str) and is_object(_json(content)):
        return _SAME
    return _differs("the text is no JSON object by itself")


async def _refusal(lab: Lab, heard: Heard, of: str, expected: tuple[int, ...]) -> _Came:
    """Whether a refusal has a status and a shape of Azure's, and this client reads it."""
    if heard.status < 300:
        return _differs(f"{of} gets {heard.status}, as if nothing were wrong")
    try:
        await lab.read(heard)
    except APIStatusError:
        pass
    except InferenceError as error:
        return _breaks(error)
    if heard.status not in expected:
        return _differs(f"{of} gets {heard.status}, not {' or '.join(map(str, expected))}")
    shape = _shape_of(heard)
    return _differs(f"{of} is told {shape}") if shape else _SAME


def _shape_of(heard: Heard) -> str:
    """How an error is told, in words; empty for the ways that Azure has."""
    body = heard.json
    if body is None:
        return "with no body" if not heard.body.strip() else f"in {heard.media or 'bytes'}, not in JSON"
    if not is_object(body):
        return f"as {_shown(body)}"
    error = body.get("error")
    if is_object(error):
        return "" if isinstance(error.get("message"), str) else f"without a message: {_shown(error)}"
    if isinstance(error, str) and not isinstance(body.get("message"), str):
        return "as text under 'error'"
    if any(isinstance(body.get(name), str) for name in ("message", "detail", "status")):
        return ""
    return f"under {', '.join(sorted(body)) or 'nothing'}"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _first_line(error: InferenceError) -> str:
    return error.message.partition("\n")[0]
