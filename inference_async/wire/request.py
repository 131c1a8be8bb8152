"""Messages and options to a call: what goes over the wire, as plain values.

Everything that can be wrong with what the caller gave is found here, before anything is sent.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from ..errors import ConfigurationError, UnknownOptionError
from ..types import (
    UNSET,
    AssistantMessage,
    ChatCompletion,
    ChatOptions,
    ChatRequest,
    DeveloperMessage,
    JSONSchemaFormat,
    Messages,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from ..types.base import is_mapping
from ..types.chat import MODELS_OPTIONS, ExtraMode
from ..types.messages import ROLES
from .codec import encode, plain
from .endpoints import Endpoint

__all__ = [
    "Call",
    "Secret",
    "chat_call",
    "check_extra_mode",
    "check_header",
    "check_options",
    "check_values",
    "checked_extra",
    "checked_headers",
    "json_call",
    "message_list",
    "raw_call",
    "secrets_among",
    "secrets_in",
]

T = TypeVar("T")

_SECRET_NAME: Final = re.compile(r"key|token|secret|password|sig|^code$", re.IGNORECASE)
_ROLES_ELSEWHERE: Final = {"human": "user", "ai": "assistant", "bot": "assistant", "model": "assistant"}
_MESSAGE_TYPES: Final = (SystemMessage, DeveloperMessage, UserMessage, AssistantMessage, ToolMessage)
_OPTIONS: Final = frozenset(ChatOptions.__annotations__)
_OWN_KEYWORDS: Final = ("extra", "extra_mode", "headers", "timeouts", "response_type", "repair", "raise_on_filter")
_ELSEWHERE: Final[Mapping[str, str]] = {
    "stream": "to stream, call client.stream(...)",
    "timeout": "limits on time go in timeouts=Timeouts(total=...)",
    "model_extras": "fields outside the specification go in extra={...}",
    "extra_body": "fields outside the specification go in extra={...}",
    "extra_headers": "further headers go in headers={...}",
}
"""What other clients call it, and where it goes here."""

_MODES: Final = ("pass-through", "drop", "error")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, section 5.6.2)."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NON_LATIN: Final = re.compile(r"[^\x00-\xff]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FRAMING: Final = ("content-length", "transfer-encoding")
_HALF: Final = re.compile("[\ud800-\udfff]")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_PATH: Final = re.compile(r"/?[A-Za-z0-9%._~!$&'()*+,;=@-]+(/[A-Za-z0-9%._~!$&'()*+,;=:@-]*)*")
"""A relative path without a query (RFC 3986, section 3.3); a colon in its first segment would make it a URL."""


class Secret(str):
    """A header's value that does not show itself in reprs, and so not in the tracebacks of error reporters."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[secret]'"


class Call(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """One HTTP request; the credential is added to it last, in `net/session.py`.

    Attributes:
        body: empty for a request that has none.
        model: the deployment it names, for messages.
        any_success: whether any status from 200 to 299 is a success, and not 200 alone, as for the service's own calls.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    model: str | None = None
    any_success: bool = False

    def __repr__(self) -> str:
        # Without query and body, which may hold a key and the prompt.
        return f"<{type(self).__name__} {self.method} {self.url.partition('?')[0]}>"


def chat_call(
    endpoint: Endpoint,
    messages: Messages,
    options: Mapping[str, Any],
    *,
    stream: bool,
    extra: Mapping[str, Any] | None = None,
    extra_mode: ExtraMode | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """The call of a chat completion.

    Args:
        endpoint: where it goes.
        messages: a string, one message, or a sequence of both.
        options: those of `ChatOptions`, by name; `UNSET` is left out.
        stream: whether the answer shall be streamed.
        extra: fields outside the specification, merged at the root of the body; they win over `options`.
        extra_mode: what the service shall do with them; pass-through unless said otherwise.
        headers: further headers; they win over this package's own.

    Raises:
        ConfigurationError: something in it cannot be sent.
        UnknownOptionError: an option that the service does not know.
    """
    check_options(options)
    given = {name: value for name, value in options.items() if value is not UNSET}
    has_extra = not given.keys() <= MODELS_OPTIONS
    if stream and endpoint.ask_for_usage and "stream_options" not in options:
        given["stream_options"] = {"include_usage": True}
    if "response_format" in given:
        given["response_format"] = _format(given["response_format"])
    if given.get("tools") is not None:
        given["tools"] = _tools(given["tools"])
        if not given["tools"]:
            del given["tools"]  # no tools is what the caller means; an empty list is what the service refuses
    request = ChatRequest(messages=_messages(messages), stream=True if stream else UNSET, **given)
    return json_call(
        endpoint,
        "chat/completions",
        request,
        has_extra=has_extra,
        owned=("messages", "stream"),
        model=given.get("model"),
        accept="text/event-stream" if stream else "application/json",
        extra=extra,
        extra_mode=extra_mode,
        headers=headers,
    )


def json_call(
    endpoint: Endpoint,
    operation: str,
    body: Any,
    *,
    has_extra: bool,
    owned: tuple[str, ...],
    model: object = None,
    accept: str = "application/json",
    extra: Mapping[str, Any] | None = None,
    extra_mode: ExtraMode | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A call with a JSON body, and the ``extra-parameters`` header where the endpoint has one and the body needs it.

    Args:
        endpoint: where it goes.
        operation: such as ``chat/completions``.
        body: the Struct or the dict that goes out.
        has_extra: whether the body holds fields outside the specification already.
        owned: the fields that `extra` must not overwrite.
        model: the deployment that the body names.
        accept: the content type asked for.
        extra: see `chat_call`.
        extra_mode: see `chat_call`.
        headers: see `chat_call`.

    Raises:
        ConfigurationError: something in it cannot be sent.
    """
    if extra_mode is not None:
        check_extra_mode(extra_mode)
    if extra:
        extra = {name: value for name, value in checked_extra(extra, owned=owned).items() if value is not UNSET}
    else:
        extra = checked_extra(extra)
    sent = {"content-type": "application/json", "accept": accept}
    if endpoint.extra_parameters and (has_extra or extra or extra_mode is not None):
        sent["extra-parameters"] = extra_mode or "pass-through"
    if headers:
        sent.update(checked_headers(headers, endpoint))
    model = extra.get("model", model)
    return Call("POST", endpoint.url(operation), sent, _body(body, extra), model if isinstance(model, str) else None)


def raw_call(
    endpoint: Endpoint,
    method: str,
    path: str,
    *,
    json: Any = UNSET,
    body: bytes = b"",
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """A call of any operation of the endpoint.

    Raises:
        ConfigurationError: something in it cannot be sent.
    """
    if not isinstance(cast("object", method), str) or method.upper() not in _METHODS:
        raise ConfigurationError(f"got method={method!r}, expected one of {', '.join(_METHODS)}")
    if not isinstance(cast("object", path), str) or not _PATH.fullmatch(path):
        raise ConfigurationError(
            f"got path={path!r}, expected one below {endpoint.base}, such as 'embeddings'; a query goes in params="
        )
    if _BAD_ESCAPE.search(path) or any(step in (".", "..") for step in re.split(r"[/\\]", unquote(path))):
        raise ConfigurationError(f"got path={path!r}, which leads out of {endpoint.base}, or is escaped badly")
    if json is not UNSET and body:
        raise ConfigurationError("got both json= and body=, expected one of them")
    if not isinstance(cast("object", body), bytes):
        raise ConfigurationError(f"got a body of type {type(body).__name__}, expected bytes; a value goes in json=")
    sent = {"accept": "application/json"}
    if json is not UNSET:
        check_values("json", json)
        body = _in_json(encode, _in_json(plain, json))
        sent["content-type"] = "application/json"
    sent.update(checked_headers(headers, endpoint))
    return Call(
        method=method.upper(),
        url=endpoint.url(path.strip("/"), params=_checked_params(params)),
        headers=sent,
        body=body,
        any_success=True,
    )


def checked_headers(headers: object, endpoint: Endpoint) -> dict[str, str]:
    """Headers fit to be sent, names in lower case, credentials masked.

    Raises:
        ConfigurationError: no mapping, or a header that cannot be sent.
    """
    if headers is None or headers == {}:
        return {}
    if not is_mapping(headers):
        raise ConfigurationError(f"got headers of type {type(headers).__name__}, expected a mapping of names to values")
    for name, value in headers.items():
        check_header(name, value)
    lowered = {str(name).lower(): str(value) for name, value in headers.items()}
    return {name: Secret(value) if name in endpoint.credential_headers else value for name, value in lowered.items()}


def check_options(options: Mapping[str, Any], *, known: frozenset[str] = _OPTIONS) -> None:
    """Refuse options the service does not know, and numbers that JSON cannot say.

    Raises:
        UnknownOptionError: names the nearest option, and points to ``extra``.
        ConfigurationError: a NaN or an infinity, which would go out as null.
    """
    for name, value in options.items():
        if not isinstance(cast("object", name), str):
            raise ConfigurationError(f"got an option named {name!r}, expected text")
        if name not in known:
            raise UnknownOptionError(f"got an unknown option {name!r}{_what_is_meant(name, known)}")
        check_values(name, value)


def check_extra_mode(mode: object) -> None:
    """Refuse what the ``extra-parameters`` header cannot say.

    Raises:
        ConfigurationError: see above.
    """
    if mode is not None and mode not in _MODES:
        raise ConfigurationError(f"got extra_mode={mode!r}, expected one of {', '.join(map(repr, _MODES))}")


def check_header(name: object, value: object) -> None:
    """Refuse a header that would break out of its line; the message never quotes the value.

    Raises:
        ConfigurationError: see above.
    """
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigurationError(f"got a header name {name!r}, expected letters, digits and dashes")
    if name.lower() in _FRAMING:
        raise ConfigurationError(f"got the header {name!r}, which the transport sets by what it sends")
    if not isinstance(value, str):
        raise ConfigurationError(f"got a value of type {type(value).__name__} for the header {name!r}, expected text")
    if _CONTROL.search(value):
        raise ConfigurationError(f"got a line break or control character in the value of the header {name!r}")
    if _NON_LATIN.search(value):  # not by encoding it: Python's own error, the context of ours, would quote it
        raise ConfigurationError(f"got non-Latin characters in the value of the header {name!r}")


def _meant_by(message: object) -> str:
    if isinstance(message, ChatCompletion):
        return "; its .message is one"
    return "; was an `await` forgotten?" if _is_unawaited(message) else ""


def _is_unawaited(value: object) -> bool:
    """Whether a value is one that should have been awaited; it never will be now, and Python need not warn of it."""
    if inspect.iscoroutine(value):
        value.close()
    return inspect.isawaitable(value)


def _what_is_meant(name: str, known: frozenset[str]) -> str:
    if name in _ELSEWHERE:
        return f": {_ELSEWHERE[name]}"
    if name in _OWN_KEYWORDS:
        return ": it is an option of other calls, not of this one"
    near = difflib.get_close_matches(name, [*sorted(known), *_OWN_KEYWORDS], n=1)
    if near and near[0] in _OWN_KEYWORDS:
        return f": did you mean {near[0]!r}?"
    meant = f": did you mean {near[0]!r}?" if near else ";"
    return f"{meant} fields outside the specification go in extra={{{name!r}: ...}}"


def check_values(place: str, value: Any) -> None:
    """Refuse what JSON cannot say and an encoder would say otherwise.

    Raises:
        ConfigurationError: a NaN, an infinity, bytes, or something not awaited, at any depth, or a value that holds
            itself.
    """
    try:
        _walk(place, value)
    except RecursionError:
        raise ConfigurationError(f"got a request that JSON cannot say: {place} is nested too deeply") from None


def _walk(place: str, value: Any) -> None:
    """NaN and the infinities would go out as null, and bytes as base64: both say something else."""
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigurationError(f"got {value} in {place}, expected a finite number")
    elif is_mapping(value):
        for name, item in value.items():
            _walk(f"{place}.{name}", item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _walk(f"{place}.{name}", getattr(value, name))
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            _walk(f"{place}[{index}]", item)
    elif isinstance(value, bytes | bytearray | memoryview):
        raise ConfigurationError(f"got bytes in {place}, expected text")
    elif _is_unawaited(value):
        raise ConfigurationError(f"got something to be awaited in {place}: was an `await` forgotten?")


def _tools(given: Any) -> list[Any]:
    """Tools as they go out; what has a ``definition``, such as a function under `tool`, stands for it."""
    if not isinstance(given, list | tuple):
        raise ConfigurationError(f"got tools of type {type(given).__name__}, expected a list of tools")
    tools: list[Any] = []
    for index, row in enumerate(cast("list[Any]", given)):
        definition: Any = getattr(row, "definition", row)
        if not isinstance(definition, msgspec.Struct) and not is_mapping(definition):
            what = "run_tools() takes plain functions, @tool makes a tool of one" if callable(row) else "see @tool"
            raise ConfigurationError(
                f"got tools[{index}] of type {type(row).__name__}, expected a tool or its definition; {what}"
            )
        tools.append(definition)
    return tools


_FORMATS: Final = ("text", "json_object")


def _format(given: Any) -> Any:
    """A ``response_format`` as it goes out; a name stands for the object of that type."""
    if isinstance(given, JSONSchemaFormat):
        return {"type": "json_schema", "json_schema": plain(given)}
    if isinstance(given, str):
        if given not in _FORMATS:
            raise ConfigurationError(
                f"got response_format={given!r}, expected 'text', 'json_object', or an object of another type; for a "
                "schema, say response_type= or pass a JSONSchemaFormat"
            )
        return {"type": given}
    if isinstance(given, type):
        raise ConfigurationError(f"got response_format={given.__name__}, a type; say response_type={given.__name__}")
    return given


def _checked_params(params: object) -> tuple[tuple[str, str], ...]:
    if params is None:
        return ()
    if not is_mapping(params):
        raise ConfigurationError(f"got params of type {type(params).__name__}, expected a mapping of names to values")
    rows = tuple((str(name), str(value)) for name, value in params.items())
    if any(_HALF.search(text) for row in rows for text in row):
        raise ConfigurationError("got params with half of a surrogate pair, expected text")
    return rows


def checked_extra(extra: object, *, owned: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields outside the specification, fit to be merged into a body; `owned` are those the call itself decides.

    Raises:
        ConfigurationError: no mapping, a name that is no text, a number that JSON cannot say, or an owned field.
    """
    if extra is None:
        return {}
    if not is_mapping(extra):
        raise ConfigurationError(f"got extra= of type {type(extra).__name__}, expected a mapping of names to values")
    fields = dict(extra)
    for name in fields:
        if not isinstance(name, str):
            raise ConfigurationError(f"got a request that JSON cannot say: a name in extra= is {name!r}, not text")
        if name in owned:
            raise ConfigurationError(f"got {name!r} in extra=, which would overwrite what the call itself decides")
    check_values("extra", fields)
    return fields


def _body(request: Any, extra: dict[str, Any]) -> bytes:
    return _in_json(encode, {**_in_json(plain, request), **_in_json(plain, extra)} if extra else request)


def _in_json(step: Callable[[Any], T], value: Any) -> T:
    try:
        return step(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"got a request that JSON cannot say: {error}") from None


def message_list(messages: Messages) -> list[Any]:
    """What the caller gave as messages, as a list that can be added to."""
    given: object = messages
    return [messages] if isinstance(given, (str, Mapping, *_MESSAGE_TYPES)) else list(cast("Sequence[Any]", messages))


def _messages(messages: Any) -> list[Any]:
    given: object = messages
    if isinstance(given, (str, Mapping, *_MESSAGE_TYPES)):
        return [_message(messages, 0)]
    if not isinstance(given, Sequence) or isinstance(given, bytes | bytearray):
        raise ConfigurationError(f"got messages of type {type(messages).__name__}, expected text, a message, or a list")
    if not messages:
        raise ConfigurationError("got an empty list of messages, expected at least one")
    return [_message(message, index) for index, message in enumerate(messages)]


def _message(message: Any, index: int) -> Any:
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if not isinstance(message, _MESSAGE_TYPES) and not is_mapping(message):
        raise ConfigurationError(
            f"got messages[{index}] of type {type(message).__name__}, expected text, a message or a dict"
            + _meant_by(message)
        )
    check_values(f"messages[{index}]", message)
    if isinstance(message, AssistantMessage):
        # Content goes out even when it is null: beside tool calls, hosts insist on the key.
        return {"role": "assistant", "content": message.content, **_in_json(plain, message)}
    if isinstance(message, _MESSAGE_TYPES):
        return message
    if "role" not in message:
        raise ConfigurationError(f"got no role in messages[{index}], expected one of {', '.join(ROLES)}")
    role: Any = message["role"]
    if role not in ROLES:
        near = difflib.get_close_matches(role, ROLES, n=1) if isinstance(role, str) else []
        near = [_ROLES_ELSEWHERE[role]] if isinstance(role, str) and role in _ROLES_ELSEWHERE else near
        meant = f": did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"got role {role!r} in messages[{index}], expected one of {', '.join(ROLES)}{meant}")
    return _in_json(plain, dict(message))  # a dict may hold Structs, such as the tool calls of an answer


def secrets_among(headers: Mapping[str, str]) -> tuple[Secret, ...]:
    """The keys and tokens among the values of headers, each without the word before it."""
    found: tuple[Secret, ...] = ()
    for value in headers.values():
        if isinstance(value, Secret):
            found += (Secret(value.rpartition(" ")[2]),)
    return found


@lru_cache(maxsize=32)
def secrets_in(url: str) -> tuple[Secret, ...]:
    """What an address holds in its query that nobody else may see, such as a ``subscription-key``."""
    return tuple(Secret(value) for name, value in parse_qsl(urlsplit(url).query) if _SECRET_NAME.search(name))
