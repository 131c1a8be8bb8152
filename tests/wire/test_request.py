"""Messages and options to one HTTP request: everything that goes out, and everything that is refused before."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final

import msgspec
import pytest

from inference_async.errors import ConfigurationError, UnknownOptionError
from inference_async.types import (
    UNSET,
    AssistantMessage,
    ChatCompletion,
    ChatOptions,
    DeveloperMessage,
    FunctionCall,
    FunctionDefinition,
    ImagePart,
    ImageURL,
    JSONSchemaFormat,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)
from inference_async.wire.endpoints import Endpoint
from inference_async.wire.request import (
    Call,
    Secret,
    chat_call,
    check_header,
    check_options,
    checked_extra,
    checked_headers,
    json_call,
    message_list,
    raw_call,
)
from inference_async.wire.response import completion_from

V1: Final = Endpoint.parse("https://r.services.ai.azure.com/openai/v1")
MODELS: Final = Endpoint.parse("https://r.services.ai.azure.com/models")
GENERIC: Final = Endpoint.parse("http://localhost:8000/v1")
ENDPOINTS: Final = {"openai-v1": V1, "models": MODELS, "generic": GENERIC}

everywhere = pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)


def made(messages: Any = "hi", endpoint: Endpoint = V1, *, stream: bool = False, **more: Any) -> Call:
    options: Mapping[str, Any] = more.pop("options", {})
    return chat_call(endpoint, messages, options, stream=stream, **more)


def body(messages: Any = "hi", endpoint: Endpoint = V1, *, stream: bool = False, **more: Any) -> dict[str, Any]:
    found = json.loads(made(messages, endpoint, stream=stream, **more).body)
    assert isinstance(found, dict)
    return found


def sent(messages: Any) -> Any:
    return body(messages)["messages"]


# ---------------------------------------------------------------------------------------------------------------------
# The request as a whole


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (V1, "https://r.services.ai.azure.com/openai/v1/chat/completions"),
        (MODELS, "https://r.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"),
        (GENERIC, "http://localhost:8000/v1/chat/completions"),
    ],
    ids=ENDPOINTS,
)
def test_smallest_request(endpoint: Endpoint, url: str) -> None:
    call = made("hi", endpoint)
    assert (call.method, call.url) == ("POST", url)
    assert call.headers == {"content-type": "application/json", "accept": "application/json"}
    assert call.body == b'{"messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (V1, {"stream": True, "stream_options": {"include_usage": True}}),
        (MODELS, {"stream": True}),
        (GENERIC, {"stream": True, "stream_options": {"include_usage": True}}),
    ],
    ids=ENDPOINTS,
)
def test_smallest_stream(endpoint: Endpoint, expected: dict[str, Any]) -> None:
    call = made("hi", endpoint, stream=True)
    assert call.headers == {"content-type": "application/json", "accept": "text/event-stream"}
    assert json.loads(call.body) == {"messages": [{"role": "user", "content": "hi"}], **expected}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stream_options": {"include_usage": False}}, {"include_usage": False}),
        ({"stream_options": {"include_obfuscation": False}}, {"include_obfuscation": False}),
        ({"stream_options": None}, None),
    ],
    ids=str,
)
def test_stream_options_of_the_caller_win(options: dict[str, Any], expected: Any) -> None:
    assert body(stream=True, options=options)["stream_options"] == expected


def test_stream_options_on_models_need_the_header() -> None:
    call = made("hi", MODELS, stream=True, options={"stream_options": {"include_usage": True}})
    assert json.loads(call.body)["stream_options"] == {"include_usage": True}
    assert call.headers["extra-parameters"] == "pass-through"


# ---------------------------------------------------------------------------------------------------------------------
# Options

VALUES: Final[dict[str, Any]] = {
    "model": "gpt-x",
    "temperature": 0.0,
    "top_p": 1,
    "max_tokens": 5,
    "stop": ["a", "b"],
    "seed": 2**62,
    "frequency_penalty": -2.0,
    "presence_penalty": 2,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "modalities": ["text", "audio"],
    "user_security_context": {"application_name": "a"},
    "stream_options": {"include_usage": True},
    "max_completion_tokens": 5,
    "reasoning_effort": "low",
    "parallel_tool_calls": False,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "user": "u",
    "safety_identifier": "s",
    "verbosity": "low",
    "store": False,
    "metadata": {"a": "b"},
    "prediction": {"type": "content", "content": "x"},
    "audio": {"voice": "v", "format": "wav"},
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "web_search_options": {},
}
OF_MODELS: Final = {
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "response_format",
    "tools",
    "tool_choice",
    "modalities",
    "user_security_context",
}

each_option = pytest.mark.parametrize("name", VALUES)


def test_the_options_above_are_all() -> None:
    assert {*VALUES} == {*ChatOptions.__annotations__}


@each_option
@everywhere
def test_option_goes_out_under_its_name(endpoint: Endpoint, name: str) -> None:
    call = made("hi", endpoint, options={name: VALUES[name]})
    assert json.loads(call.body) == {"messages": [{"role": "user", "content": "hi"}], name: VALUES[name]}
    marked = endpoint is MODELS and name not in OF_MODELS
    assert call.headers.get("extra-parameters") == ("pass-through" if marked else None)


@each_option
def test_option_unset_is_left_out(name: str) -> None:
    call = made("hi", MODELS, options={name: UNSET})
    assert call.body == b'{"messages":[{"role":"user","content":"hi"}]}'
    assert "extra-parameters" not in call.headers


@each_option
def test_option_none_is_null(name: str) -> None:
    assert body(options={name: None})[name] is None


def test_all_options_at_once() -> None:
    assert body(options=VALUES) == {"messages": [{"role": "user", "content": "hi"}], **VALUES}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"response_format": "json_object"}, {"response_format": {"type": "json_object"}}, id="json"),
        pytest.param({"response_format": "text"}, {"response_format": {"type": "text"}}, id="text"),
        pytest.param({"tools": []}, {}, id="no tools, list"),
        pytest.param({"tools": ()}, {}, id="no tools, tuple"),
        pytest.param(
            {"tools": (ToolDefinition(FunctionDefinition(name="f", strict=True)),)},
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            id="tool as a Struct",
        ),
        pytest.param({"stop": "END"}, {"stop": "END"}, id="stop as text"),
        pytest.param({"stop": ("a", "b")}, {"stop": ["a", "b"]}, id="stop as a tuple"),
        pytest.param({"tool_choice": "required"}, {"tool_choice": "required"}, id="tool choice as text"),
        pytest.param(
            {"tool_choice": MappingProxyType({"type": "function"})}, {"tool_choice": {"type": "function"}}, id="mapping"
        ),
        pytest.param({"metadata": MappingProxyType({"a": "b"})}, {"metadata": {"a": "b"}}, id="metadata as a mapping"),
    ],
)
def test_option_forms(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(options=options) == {"messages": [{"role": "user", "content": "hi"}], **expected}


def test_response_format_as_a_struct() -> None:
    class Schema(msgspec.Struct, tag_field="type", tag="json_schema"):
        json_schema: dict[str, Any]

    found = body(options={"response_format": Schema({"name": "n"})})
    assert found["response_format"] == {"type": "json_schema", "json_schema": {"name": "n"}}


def test_options_of_the_caller_are_left_alone() -> None:
    options: dict[str, Any] = {"response_format": "text", "tools": [], "n": UNSET}
    extra = {"a": 1}
    made("hi", V1, stream=True, options=options, extra=extra)
    assert options == {"response_format": "text", "tools": [], "n": UNSET}
    assert extra == {"a": 1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("temprature", ("got an unknown option 'temprature'", "did you mean 'temperature'?", "extra={'temprature':")),
        ("max_token", ("did you mean 'max_tokens'?", "extra={'max_token': ...}")),
        ("Model", ("did you mean 'model'?",)),
        ("top_k", ("did you mean 'top_p'?", "extra={'top_k': ...}")),
        ("zzzzzzzz", ("got an unknown option 'zzzzzzzz'; ", "extra={'zzzzzzzz': ...}")),
        ("messages", ("got an unknown option 'messages'",)),
        ("stream", ("got an unknown option 'stream'",)),
        ("repair", ("'repair': it is an option of other calls, not of this one",)),
        ("repairs", ("did you mean 'repair'?",)),
    ],
)
def test_unknown_option(name: str, words: tuple[str, ...]) -> None:
    for check in (lambda: check_options({name: 1}), lambda: made(options={name: 1})):
        with pytest.raises(UnknownOptionError) as caught:
            check()
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(lambda x: {"options": {"temperature": x}}, id="option"),
        pytest.param(lambda x: {"options": {"logit_bias": {"1": x}}}, id="inside an option"),
        pytest.param(lambda x: {"extra": {"min_p": x}}, id="extra"),
        pytest.param(lambda x: {"extra": {"a": [{"b": x}]}}, id="inside extra"),
    ],
)
def test_numbers_that_json_cannot_say(where: Any, value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"finite|JSON"):
        made(**where(value))


def test_stream_options_may_be_left_out() -> None:
    assert "stream_options" not in body(stream=True, options={"stream_options": UNSET})


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"options": {"metadata": {"a": object()}}}, id="object in an option"),
        pytest.param({"options": {"metadata": {"a": (x for x in "ab")}}}, id="generator"),
        pytest.param({"options": {"user": "a\ud800"}}, id="lone surrogate in an option"),
        pytest.param({"extra": {"a": object()}}, id="object in extra"),
        pytest.param({"extra": {"a": "\ud800"}}, id="lone surrogate in extra"),
        pytest.param({"extra": {("a",): 1}}, id="name in extra that is no text"),
    ],
)
def test_values_that_json_cannot_say(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"^got a request that JSON cannot say: "):
        made(**more)


def test_a_value_that_holds_itself() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    for more in ({"extra": loop}, {"options": {"metadata": loop}}):
        with pytest.raises(ConfigurationError):
            made(**more)
    with pytest.raises(ConfigurationError):
        made([{"role": "user", "content": [loop]}])


# ---------------------------------------------------------------------------------------------------------------------
# Extra parameters


def test_extra_goes_to_the_root_and_wins() -> None:
    found = body(options={"temperature": 0.5, "model": "a"}, extra={"temperature": 1, "top_k": 5, "n": None})
    assert found == {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "a",
        "temperature": 1,
        "top_k": 5,
        "n": None,
    }


def test_extra_overrules_the_default_of_a_stream() -> None:
    assert body(stream=True, extra={"stream_options": {"x": 1}})["stream_options"] == {"x": 1}


@pytest.mark.parametrize("extra", [None, {}, MappingProxyType({})], ids=repr)
def test_no_extra(extra: Any) -> None:
    call = made("hi", MODELS, extra=extra)
    assert call.body == b'{"messages":[{"role":"user","content":"hi"}]}'
    assert "extra-parameters" not in call.headers


def test_extra_may_be_any_mapping_and_hold_structs() -> None:
    assert body(extra=MappingProxyType({"a": TextPart("x")}))["a"] == {"type": "text", "text": "x"}


@pytest.mark.parametrize("name", ["messages", "stream"])
def test_extra_cannot_overwrite_what_the_call_decides(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^got '{name}' in extra="):
        made(extra={name: []})


@pytest.mark.parametrize("extra", [["a"], "abc", [("a", 1)], 5], ids=repr)
def test_extra_that_is_no_mapping(extra: Any) -> None:
    with pytest.raises(ConfigurationError, match="extra"):
        made(extra=extra)


HEADER: Final[dict[str, tuple[Endpoint, dict[str, Any], str | None]]] = {
    "models, nothing": (MODELS, {}, None),
    "models, extra": (MODELS, {"extra": {"a": 1}}, "pass-through"),
    "models, option (*)": (MODELS, {"options": {"n": 2}}, "pass-through"),
    "models, option (*) as null": (MODELS, {"options": {"n": None}}, "pass-through"),
    "models, option": (MODELS, {"options": {"seed": 2}}, None),
    "models, drop": (MODELS, {"extra": {"a": 1}, "extra_mode": "drop"}, "drop"),
    "models, error": (MODELS, {"options": {"n": 2}, "extra_mode": "error"}, "error"),
    "models, pass-through": (MODELS, {"extra": {"a": 1}, "extra_mode": "pass-through"}, "pass-through"),
    "models, mode alone": (MODELS, {"extra_mode": "drop"}, "drop"),
    "models, header of the caller": (MODELS, {"extra": {"a": 1}, "headers": {"Extra-Parameters": "drop"}}, "drop"),
    "v1, extra": (V1, {"extra": {"a": 1}}, None),
    "v1, option (*)": (V1, {"options": {"n": 2}}, None),
    "v1, mode": (V1, {"extra": {"a": 1}, "extra_mode": "drop"}, None),
    "v1, header of the caller": (V1, {"headers": {"extra-parameters": "drop"}}, "drop"),
    "generic, extra": (GENERIC, {"extra": {"a": 1}}, None),
}


@pytest.mark.parametrize(("endpoint", "more", "expected"), HEADER.values(), ids=HEADER)
def test_extra_parameters_header(endpoint: Endpoint, more: dict[str, Any], expected: str | None) -> None:
    assert made("hi", endpoint, **more).headers.get("extra-parameters") == expected


@everywhere
@pytest.mark.parametrize("mode", ["allow", "ignore", "", "DROP", 5], ids=repr)
def test_bad_extra_mode(endpoint: Endpoint, mode: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^got extra_mode=.*'pass-through', 'drop', 'error'$"):
        made("hi", endpoint, extra={"a": 1}, extra_mode=mode)


# ---------------------------------------------------------------------------------------------------------------------
# Messages

CALL: Final = ToolCall(id="c1", function=FunctionCall(name="f", arguments="{}"))
CALL_SENT: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

FORMS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "text": ("hi", [{"role": "user", "content": "hi"}]),
    "empty text": ("", [{"role": "user", "content": ""}]),
    "one dict": ({"role": "user", "content": "hi"}, [{"role": "user", "content": "hi"}]),
    "one mapping": (MappingProxyType({"role": "user", "content": "hi"}), [{"role": "user", "content": "hi"}]),
    "one Struct": (UserMessage("hi"), [{"role": "user", "content": "hi"}]),
    "tuple": (("a", "b"), [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]),
    "all kinds": (
        [
            SystemMessage("s"),
            DeveloperMessage("d", name="n"),
            "u",
            UserMessage([TextPart("t"), ImagePart(ImageURL("https://h.example/a.png"))]),
            AssistantMessage("a"),
            ToolMessage("42", "c1"),
            {"role": "tool", "tool_call_id": "c2", "content": None},
        ],
        [
            {"role": "system", "content": "s"},
            {"role": "developer", "content": "d", "name": "n"},
            {"role": "user", "content": "u"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": "https://h.example/a.png"}},
                ],
            },
            {"role": "assistant", "content": "a"},
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
            {"role": "tool", "tool_call_id": "c2", "content": None},
        ],
    ),
    "assistant without content": ([AssistantMessage()], [{"role": "assistant", "content": None}]),
    "assistant with calls": (
        [AssistantMessage(tool_calls=[CALL])],
        [{"role": "assistant", "content": None, "tool_calls": [CALL_SENT]}],
    ),
    "assistant with extra": (
        [AssistantMessage("a", unknown_fields={"extra_content": {"s": 1}})],
        [{"role": "assistant", "content": "a", "extra_content": {"s": 1}}],
    ),
    "dict with Structs": (
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "user", "content": [TextPart("t")]}],
        [
            {"role": "assistant", "content": None, "tool_calls": [CALL_SENT]},
            {"role": "user", "content": [{"type": "text", "text": "t"}]},
        ],
    ),
    "dict with a Struct with extra": (
        [{"role": "assistant", "tool_calls": [ToolCall(id="c", unknown_fields={"extra_content": {"s": 1}})]}],
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "", "arguments": ""},
                        "extra_content": {"s": 1},
                    }
                ],
            }
        ],
    ),
    "dict of a provider's own": (
        [{"role": "user", "content": [{"type": "file", "file": {"*": "all"}}], "cache": True}],
        [{"role": "user", "content": [{"type": "file", "file": {"*": "all"}}], "cache": True}],
    ),
    "parts as a tuple": (
        [UserMessage((TextPart("t"),))],
        [{"role": "user", "content": [{"type": "text", "text": "t"}]}],
    ),
    "part as a mapping": (
        [UserMessage([MappingProxyType({"type": "file"})])],
        [{"role": "user", "content": [{"type": "file"}]}],
    ),
    "not ASCII": ("é\u2028🙂", [{"role": "user", "content": "é\u2028🙂"}]),
}


@pytest.mark.parametrize(("messages", "expected"), FORMS.values(), ids=FORMS)
def test_messages(messages: Any, expected: list[Any]) -> None:
    assert sent(messages) == expected
    assert body(messages, extra={"x": 1})["messages"] == expected


def test_a_returned_message_goes_back_as_it_came() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "index": 0,
                "function": {"name": "f", "arguments": '{"x": 1}', "call_id": None},
                "extra_content": {"google": {"thought_signature": "s=="}},
            }
        ],
        "provider_specific_fields": {"a": [1, None]},
    }
    reply = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    answer: ChatCompletion = completion_from(status=200, headers={}, body=reply, url="https://h.example/")
    result = ToolMessage("42", answer.tool_calls[0].id)
    assert sent(["hi", answer.message, result])[1:] == [
        message,
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]
    assert answer.message.extra == {"provider_specific_fields": {"a": [1, None]}}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param([], ("empty list of messages",), id="empty list"),
        pytest.param((), ("empty list of messages",), id="empty tuple"),
        pytest.param(None, ("NoneType", "expected text, a message, or a list"), id="None"),
        pytest.param(5, ("int", "expected text, a message, or a list"), id="number"),
        pytest.param(b"hi", ("bytes|int",), id="bytes"),
        pytest.param({"role", "user"}, ("set",), id="set"),
        pytest.param(iter(["hi"]), ("iterator",), id="iterator"),
        pytest.param(["hi", 5], (r"messages\[1\]", "int"), id="number in the list"),
        pytest.param([["hi"]], (r"messages\[0\]", "list"), id="list in the list"),
        pytest.param([TextPart("hi")], (r"messages\[0\]", "TextPart"), id="part as a message"),
        pytest.param([{"role": "asistant"}], ("'asistant'", r"messages\[0\]", "did you mean 'assistant'"), id="typo"),
        pytest.param(["hi", {"role": "human"}], ("'human'", r"messages\[1\]", "system, developer, user"), id="role"),
        pytest.param([{"role": "human"}], ("tool: did you mean 'user'",), id="role of other clients"),
        pytest.param([{"role": "ai"}], ("tool: did you mean 'assistant'",), id="another role of other clients"),
        pytest.param([{"role": "zzz"}], ("assistant, tool$",), id="role like none"),
        pytest.param(["hi", 5], ("a message or a dict$",), id="number in the list, and no more to say"),
        pytest.param({"content": "hi"}, ("no role", r"messages\[0\]"), id="no role"),
        pytest.param([{"role": ["user"]}], (r"messages\[0\]",), id="role as a list"),
        pytest.param([{"role": "user", "content": object()}], ("JSON cannot say",), id="object in a dict"),
        pytest.param([{"role": "user", "content": "a\ud800"}], ("JSON cannot say",), id="surrogate in a dict"),
        pytest.param("a\ud800", ("JSON cannot say",), id="surrogate"),
        pytest.param([UserMessage("a\udfff")], ("JSON cannot say",), id="surrogate in a Struct"),
        pytest.param([AssistantMessage("a\udfff")], ("JSON cannot say",), id="surrogate in an answer"),
        pytest.param([UserMessage([{"a": object()}])], ("JSON cannot say",), id="object in a Struct"),
        pytest.param([AssistantMessage([object()])], ("JSON cannot say",), id="object in an answer"),
        pytest.param(
            [AssistantMessage("a", unknown_fields={"a": object()})], ("JSON cannot say",), id="object in extra"
        ),
    ],
)
def test_messages_refused(messages: Any, words: tuple[str, ...]) -> None:
    for word in words:
        with pytest.raises(ConfigurationError, match=word):
            made(messages)


def test_refusals_do_not_quote_the_prompt() -> None:
    for messages in (["private \ud800"], [{"role": "user", "content": ["private", object()]}], [b"private"]):
        with pytest.raises(ConfigurationError) as caught:
            made(messages)
        assert "private" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Headers


def test_headers_of_the_caller_win_whatever_their_case() -> None:
    call = made(headers={"Accept": "*/*", "X-Custom": "a b", "Content-TYPE": "application/json; charset=utf-8"})
    assert call.headers == {
        "content-type": "application/json; charset=utf-8",
        "accept": "*/*",
        "x-custom": "a b",
    }


@pytest.mark.parametrize("value", ["hidden\r\nx: y", "hidden\n", "hidden\r", "hidden\0", "hidden\u20ac", 5, b"hidden"])
def test_bad_header_value(value: Any) -> None:
    for check in (lambda: check_header("x-key", value), lambda: made(headers={"x-key": value})):
        with pytest.raises(ConfigurationError, match="'x-key'") as caught:
            check()
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\n", "é", "a\0", "a\t", 5, None, b"a"], ids=repr)
def test_bad_header_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^got a header name ") as caught:
        check_header(name, "hidden")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("x-a", ""), ("X_a.1!", "caf\xe9"), ("x", " spaced\tvalue ")])
def test_good_header(name: str, value: str) -> None:
    check_header(name, value)
    assert made(headers={name: value}).headers[name.lower()] == value


# ---------------------------------------------------------------------------------------------------------------------
# Reasoning goes back under the name it came by


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"content": "Hi", "reasoning_content": "hm"}, id="reasoning_content"),
        pytest.param({"content": "Hi", "reasoning": "hm"}, id="reasoning"),
        pytest.param({"content": "Hi", "reasoning": "a", "reasoning_content": "b"}, id="both"),
        pytest.param({"content": "Hi", "reasoning_content": ""}, id="empty"),
        pytest.param({"content": "Hi", "reasoning": "hm", "reasoning_details": [{"text": "hm"}]}, id="details"),
        pytest.param(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Hi"},
                ]
            },
            id="mistral",
        ),
        pytest.param(
            {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]}, id="cohere"
        ),
    ],
)
def test_reasoning_goes_back_as_it_came(message: dict[str, Any]) -> None:
    data = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", **message}}]}).encode()
    completion = completion_from(status=200, headers={}, body=data, url="https://h.example/v1")
    [echoed] = sent([completion.message])
    assert echoed == {"role": "assistant", **message}


# ---------------------------------------------------------------------------------------------------------------------
# A type as the format, extra fields


class City(msgspec.Struct):
    name: str


class Point(msgspec.Struct):
    x: float


def test_a_class_as_the_response_format_names_the_other_keyword() -> None:
    with pytest.raises(ConfigurationError, match="say response_type=City"):
        made(options={"response_format": City})


def test_checked_extra() -> None:
    assert checked_extra(None) == {}
    assert checked_extra({}) == {}
    given = MappingProxyType({"a": 1, "gone": UNSET, "null": None})
    assert checked_extra(given) == {"a": 1, "gone": UNSET, "null": None}  # what is UNSET drops a client's own


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        pytest.param([("a", 1)], "extra= of type list", id="a list"),
        pytest.param("a", "extra= of type str", id="text"),
        pytest.param({1: "a"}, "a name in extra= is 1, not text", id="a name that is no text"),
        pytest.param({"messages": []}, "'messages' in extra=", id="owned"),
        pytest.param({"messages": UNSET}, "'messages' in extra=", id="owned, even to drop it"),
        pytest.param({"a": {"b": [math.inf]}}, "got inf in extra.a.b", id="infinity"),
        pytest.param({"a": Point(math.nan)}, "got nan in extra.a.x", id="nan in a Struct"),
    ],
)
def test_checked_extra_refuses(extra: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        checked_extra(extra, owned=("messages",))


def test_extra_that_is_unset_is_not_sent_and_needs_no_header() -> None:
    call = made(endpoint=MODELS, extra={"gone": UNSET})
    assert "gone" not in json.loads(call.body)
    assert "extra-parameters" not in call.headers


def test_extra_that_is_null_is_sent() -> None:
    call = made(endpoint=MODELS, extra={"a": None})
    assert json.loads(call.body)["a"] is None
    assert call.headers["extra-parameters"] == "pass-through"


# ---------------------------------------------------------------------------------------------------------------------
# Any request


def test_raw_call() -> None:
    call = raw_call(V1, "get", "models", headers={"X-A": "1"})
    assert (call.method, call.url, call.body) == ("GET", "https://r.services.ai.azure.com/openai/v1/models", b"")
    assert call.headers == {"accept": "application/json", "x-a": "1"}
    assert call.any_success


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("models", "models"),
        ("/models", "models"),
        ("models/", "models"),
        ("images/generations", "images/generations"),
        ("files/file-1.2_3~x", "files/file-1.2_3~x"),
        ("a%20b/c%2Fd", "a%20b/c%2Fd"),
        ("files/a:b@c", "files/a:b@c"),
        ("..a/b..", "..a/b.."),
    ],
)
def test_raw_path(path: str, expected: str) -> None:
    assert raw_call(V1, "GET", path).url == f"https://r.services.ai.azure.com/openai/v1/{expected}"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("/", id="root"),
        pytest.param("//other.example/x", id="another host"),
        pytest.param("https://other.example/x", id="an absolute URL"),
        pytest.param("HTTP:x", id="a scheme"),
        pytest.param("user@other.example:80/x", id="a host and a port"),
        pytest.param("\\\\other.example", id="backslashes"),
        pytest.param("..", id="up"),
        pytest.param("../models", id="up and down"),
        pytest.param("a/../../b", id="up in between"),
        pytest.param("./a", id="here"),
        pytest.param("a/.", id="here at the end"),
        pytest.param("%2e%2e/models", id="up, escaped"),
        pytest.param("a/.%2E/%2e./b", id="up, escaped by half"),
        pytest.param("a/..%2F..%2Fb", id="up, with an escaped slash"),
        pytest.param("models?a=1", id="a query"),
        pytest.param("models#a", id="a fragment"),
        pytest.param("a b", id="a blank"),
        pytest.param("a\r\nHost: x", id="a line break"),
        pytest.param("a\n", id="a line break at the end"),
        pytest.param("é", id="no ascii"),
        pytest.param(None, id="None"),
        pytest.param(b"models", id="bytes"),
    ],
)
def test_raw_path_that_leads_elsewhere(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="got path="):
        raw_call(V1, "GET", path)


def test_a_query_in_the_path_is_told_where_it_goes() -> None:
    with pytest.raises(ConfigurationError, match="a query goes in params="):
        raw_call(V1, "GET", "models?limit=1")


@pytest.mark.parametrize("method", ["", "G T", "GET\r\n", "GÉT", "GET1", 5, None, b"GET"], ids=repr)
def test_bad_method(method: Any) -> None:
    with pytest.raises(ConfigurationError, match="got method="):
        raw_call(V1, method, "models")


@pytest.mark.parametrize(
    ("endpoint", "params", "query"),
    [
        pytest.param(V1, None, "", id="none"),
        pytest.param(V1, {}, "", id="empty"),
        pytest.param(V1, {"limit": "5", "after": "a b&c=d/é"}, "?limit=5&after=a%20b%26c%3Dd%2F%C3%A9", id="escaped"),
        pytest.param(V1, {"limit": 5}, "?limit=5", id="a number"),
        pytest.param(MODELS, {"model": "m"}, "?api-version=2024-05-01-preview&model=m", id="behind the endpoint's own"),
    ],
)
def test_raw_params(endpoint: Endpoint, params: Any, query: str) -> None:
    assert raw_call(endpoint, "GET", "info", params=params).url == f"{endpoint.base}/info{query}"


@pytest.mark.parametrize("params", ["a=1", [("a", "1")], 5], ids=repr)
def test_bad_params(params: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"got params of type {type(params).__name__}, expected a mapping"):
        raw_call(V1, "GET", "models", params=params)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": [1, None]}, {"a": [1, None]}, id="plain"),
        pytest.param(City("Rome"), {"name": "Rome"}, id="a Struct"),
        pytest.param([City("Rome")], [{"name": "Rome"}], id="a list of Structs"),
        pytest.param(None, None, id="null"),
        pytest.param({}, {}, id="an empty object"),
        pytest.param(0, 0, id="zero"),
        pytest.param(
            AssistantMessage("a", unknown_fields={"x": 1}), {"role": "assistant", "content": "a", "x": 1}, id="extra"
        ),
    ],
)
def test_raw_json(value: Any, expected: Any) -> None:
    call = raw_call(V1, "POST", "x", json=value)
    assert json.loads(call.body) == expected
    assert call.headers["content-type"] == "application/json"


def test_raw_body() -> None:
    call = raw_call(V1, "PUT", "x", body=b"\0\1", headers={"content-type": "audio/wav"})
    assert (call.method, call.body, call.headers["content-type"]) == ("PUT", b"\0\1", "audio/wav")
    assert "content-type" not in raw_call(V1, "POST", "x", body=b"a").headers


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param({"json": math.nan}, "got nan in json", id="nan"),
        pytest.param({"json": {"a": [math.inf]}}, r"got inf in json\.a\[0\]", id="infinity within"),
        pytest.param({"json": object()}, "JSON cannot say", id="an object"),
        pytest.param({"json": {"a": 1}, "body": b"a"}, "got both json= and body=", id="both"),
        pytest.param({"json": None, "body": b"a"}, "got both json= and body=", id="null and a body"),
        pytest.param({"body": "text"}, "got a body of type str, expected bytes", id="text"),
        pytest.param({"body": None}, "got a body of type NoneType", id="None"),
        pytest.param({"headers": {"a": "b\n"}}, "line break", id="a bad header"),
    ],
)
def test_raw_call_refuses(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        raw_call(V1, "POST", "x", **more)


def test_raw_json_that_holds_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        raw_call(V1, "POST", "x", json=value)


# ---------------------------------------------------------------------------------------------------------------------
# What an encoder would say otherwise, and what is meant


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param([UserMessage(b"hi")], r"bytes in messages\[0\].content", id="bytes in a Struct"),  # type: ignore[arg-type]
        pytest.param([{"role": "user", "content": b"hi"}], r"bytes in messages\[0\].content", id="bytes in a dict"),
        pytest.param([UserMessage([{"type": "x", "v": float("nan")}])], "nan in messages", id="nan in a part"),
        pytest.param([UserMessage([{"type": "x", "v": {float("inf")}}])], "inf in messages", id="inf in a set"),
        pytest.param([ChatCompletion()], "its .message is one", id="a completion"),
    ],
)
def test_messages_that_would_go_out_as_something_else(messages: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        made(messages)


def test_a_forgotten_await_is_told() -> None:
    async def load() -> None: ...

    with pytest.raises(ConfigurationError, match="was an `await` forgotten"):
        made([load()])
    with pytest.raises(ConfigurationError, match="was an `await` forgotten"):
        made([UserMessage([load()])])  # type: ignore[list-item]  # what is tested


def test_a_message_that_holds_itself() -> None:
    content: list[Any] = []
    content.append(content)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        made([AssistantMessage(content=content)])


def test_extra_takes_what_an_answer_did_not_know() -> None:
    sent_extra = body(extra={"prev": AssistantMessage("hi", unknown_fields={"mood": "calm"})})["prev"]
    assert sent_extra == {"role": "assistant", "content": "hi", "mood": "calm"}


def test_what_has_a_definition_is_a_tool() -> None:
    definition = ToolDefinition(FunctionDefinition("f"))
    tools = body(options={"tools": [SimpleNamespace(definition=definition), definition]})["tools"]
    assert tools[0] == tools[1] == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (made, "tools of type function, expected a list"),
        ("a", "tools of type str, expected a list"),
        ([made], r"tools\[0\] of type function, .* run_tools\(\) takes plain functions"),
        ([ToolDefinition(FunctionDefinition("f")), 5], r"tools\[1\] of type int.*see @tool"),
    ],
    ids=["a function", "text", "a function in a list", "a number"],
)
def test_what_is_no_tool(tools: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        made(options={"tools": tools})


def test_response_format_of_no_kind() -> None:
    with pytest.raises(ConfigurationError, match=r"expected 'text', 'json_object'.* say response_type= or pass a JSON"):
        made(options={"response_format": "json"})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_headers_that_are_the_transports(name: str) -> None:
    with pytest.raises(ConfigurationError, match="which the transport sets"):
        made(headers={name: "5"})


@pytest.mark.parametrize("value", ["a\x0bb", "a\x7fb", "\x1b[31m"], ids=repr)
def test_control_characters_in_a_header(value: str) -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        made(headers={"x-a": value})
    with pytest.raises(ConfigurationError, match="got a header name"):
        made(headers={f"x{value}": "a"})


def test_a_call_shows_neither_query_nor_prompt() -> None:
    shown = repr(made("the prompt", Endpoint.parse("https://h.example/v1?key=secret-7")))
    assert shown == "<Call POST https://h.example/v1/chat/completions>"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text", {"type": "text"}),
        ("json_object", {"type": "json_object"}),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, {"type": "json_schema", "json_schema": {"name": "n"}}),
        (
            JSONSchemaFormat("n", {"type": "object"}, strict=True),
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
        (None, None),
    ],
    ids=["text", "json_object", "dict", "JSONSchemaFormat", "null"],
)
def test_response_format_in_all_its_forms(given: Any, expected: Any) -> None:
    assert body(options={"response_format": given})["response_format"] == expected


@pytest.mark.parametrize(
    ("options", "extra", "model"),
    [
        pytest.param({}, None, None, id="none"),
        pytest.param({"model": "m"}, None, "m", id="by its keyword"),
        pytest.param({"model": "m"}, {"model": "n"}, "n", id="extra wins"),
        pytest.param({}, {"model": ["n"]}, None, id="no text"),
    ],
)
def test_a_call_knows_its_model(options: dict[str, Any], extra: Any, model: str | None) -> None:
    assert made(options=options, extra=extra).model == model


def test_an_option_that_is_not_named_by_text() -> None:
    with pytest.raises(ConfigurationError, match=r"^got an option named 5, expected text$"):
        check_options({5: 1})  # type: ignore[dict-item]  # what is tested


@pytest.mark.parametrize("headers", [["a"], "a", 5], ids=["a list", "text", "a number"])
def test_headers_that_are_no_mapping(headers: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^got headers of type {type(headers).__name__}, expected a mapping"):
        made(headers=headers)


def test_a_key_among_the_headers_is_sent_as_it_is() -> None:
    assert made(headers={"Api-Key": "key-0123456789"}).headers["api-key"] == "key-0123456789"


def test_several_messages_in_a_tuple_go_out_in_order() -> None:
    assert [row["content"] for row in sent(("a", UserMessage("b"), {"role": "user", "content": "c"}))] == [
        "a",
        "b",
        "c",
    ]


async def _answer() -> None:
    """What someone forgot to await."""


ROLES: Final = "system, developer, user, assistant, tool"
REFUSALS: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "no messages": (lambda: made([]), "got an empty list of messages, expected at least one"),
    "no role": (lambda: made([{}]), f"got no role in messages[0], expected one of {ROLES}"),
    "role of no kind": (lambda: made([{"role": 5}]), f"got role 5 in messages[0], expected one of {ROLES}"),
    "an answer as a message": (
        lambda: made([ChatCompletion()]),
        "got messages[0] of type ChatCompletion, expected text, a message or a dict; its .message is one",
    ),
    "a coroutine as a message": (
        lambda: made([_answer()]),
        "got messages[0] of type coroutine, expected text, a message or a dict; was an `await` forgotten?",
    ),
    "number in an option": (
        lambda: made(options={"logit_bias": {"1": math.nan}}),
        "got nan in logit_bias.1, expected a finite number",
    ),
    "header of no text": (
        lambda: made(headers={"x-key": 5}),
        "got a value of type int for the header 'x-key', expected text",
    ),
    "tool of no kind": (
        lambda: made(options={"tools": [5]}),
        "got tools[0] of type int, expected a tool or its definition; see @tool",
    ),
    "function as a tool": (
        lambda: made(options={"tools": [len]}),
        (
            "got tools[0] of type builtin_function_or_method, expected a tool or its definition; "
            "run_tools() takes plain functions, @tool makes a tool of one"
        ),
    ),
    "format of no kind": (
        lambda: made(options={"response_format": "json_schema"}),
        (
            "got response_format='json_schema', expected 'text', 'json_object', or an object of another type; "
            "for a schema, say response_type= or pass a JSONSchemaFormat"
        ),
    ),
    "method": (
        lambda: raw_call(V1, "FETCH", "files"),
        "got method='FETCH', expected one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
    ),
    "two bodies": (
        lambda: raw_call(V1, "POST", "files", json=1, body=b"1"),
        "got both json= and body=, expected one of them",
    ),
    "half a character in params": (
        lambda: raw_call(V1, "GET", "files", params={"after": "\ud800"}),
        "got params with half of a surrogate pair, expected text",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_in_full(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == words


def test_only_credentials_among_the_headers_are_masked() -> None:
    headers = checked_headers({"API-Key": "0123456789", "X-Trace": "t"}, V1)
    assert headers == {"api-key": "0123456789", "x-trace": "t"}
    assert repr(headers) == "{'api-key': '[secret]', 'x-trace': 't'}"
    assert {name: type(value) for name, value in headers.items()} == {"api-key": Secret, "x-trace": str}


def test_a_call_shows_its_address_up_to_the_first_question_mark() -> None:
    assert repr(Call(method="GET", url="https://h.example/a?key=1?2", headers={})) == "<Call GET https://h.example/a>"


def test_a_call_asks_for_json_unless_told_otherwise() -> None:
    assert json_call(V1, "embeddings", {}, has_extra=False, owned=()).headers["accept"] == "application/json"


USER: Final = UserMessage(content="hi")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("hi", ["hi"], id="text"),
        pytest.param({"role": "user", "content": "hi"}, [{"role": "user", "content": "hi"}], id="dict"),
        pytest.param(USER, [USER], id="message"),
        pytest.param([USER, "hi"], [USER, "hi"], id="list"),
        pytest.param((USER, "hi"), [USER, "hi"], id="tuple"),
    ],
)
def test_messages_as_a_list_of_their_own(given: Any, expected: list[Any]) -> None:
    found = message_list(given)
    assert found == expected
    assert found is not given
