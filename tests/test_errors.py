"""The tree of errors: what derives from what, what each holds, and that it survives a trip to another process."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from inference_async import errors
from inference_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BetweenTokensTimeoutError,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ConflictError,
    ConnectTimeoutError,
    ContentFilterError,
    CredentialError,
    EventTooLargeError,
    FirstTokenTimeoutError,
    IncompleteStreamError,
    InferenceError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    Phase,
    PoolTimeoutError,
    RateLimitError,
    ResponseTypeError,
    StreamError,
    ToolError,
    ToolLoopError,
    TotalTimeoutError,
    UnknownOptionError,
    UnprocessableEntityError,
    WrongEventLoopError,
)
from inference_async.types import (
    AssistantMessage,
    ChatCompletion,
    Choice,
    ContentFilterResults,
    ResponseMeta,
    ToolMessage,
    Usage,
    UserMessage,
)
from inference_async.wire.response import error_from

PARENTS: Final[dict[type[InferenceError], type[InferenceError]]] = {
    ConfigurationError: InferenceError,
    UnknownOptionError: ConfigurationError,
    CredentialError: InferenceError,
    ClientStateError: InferenceError,
    ClientClosedError: ClientStateError,
    WrongEventLoopError: ClientStateError,
    APIConnectionError: InferenceError,
    APITimeoutError: APIConnectionError,
    PoolTimeoutError: APITimeoutError,
    ConnectTimeoutError: APITimeoutError,
    FirstTokenTimeoutError: APITimeoutError,
    BetweenTokensTimeoutError: APITimeoutError,
    TotalTimeoutError: APITimeoutError,
    APIStatusError: InferenceError,
    BadRequestError: APIStatusError,
    ContentFilterError: BadRequestError,
    AuthenticationError: APIStatusError,
    PermissionDeniedError: APIStatusError,
    NotFoundError: APIStatusError,
    ConflictError: APIStatusError,
    UnprocessableEntityError: APIStatusError,
    RateLimitError: APIStatusError,
    InternalServerError: APIStatusError,
    ResponseTypeError: InferenceError,
    InvalidResponseError: InferenceError,
    ToolError: InferenceError,
    ToolLoopError: InferenceError,
    StreamError: InferenceError,
    EventTooLargeError: StreamError,
    IncompleteStreamError: StreamError,
}

BUILTINS: Final[dict[type[InferenceError], tuple[type[Exception], ...]]] = {
    ConfigurationError: (ValueError,),
    UnknownOptionError: (ValueError, TypeError),
    ClientStateError: (RuntimeError,),
    ClientClosedError: (RuntimeError,),
    WrongEventLoopError: (RuntimeError,),
    APITimeoutError: (TimeoutError, OSError),
    PoolTimeoutError: (TimeoutError, OSError),
    ConnectTimeoutError: (TimeoutError, OSError),
    FirstTokenTimeoutError: (TimeoutError, OSError),
    BetweenTokensTimeoutError: (TimeoutError, OSError),
    TotalTimeoutError: (TimeoutError, OSError),
}

PARTIAL: Final = ChatCompletion(
    id="c1",
    choices=[Choice(message=AssistantMessage(content="half", unknown_fields={"mood": "calm"}), finish_reason=None)],
    usage=Usage(prompt_tokens=1, unknown_fields={"cost": 0.5}),
    unknown_fields={"provider": "p"},
)


def status_error(cls: type[APIStatusError], status: int) -> APIStatusError:
    return cls(
        f"got {status}",
        status=status,
        detail="no",
        code="c",
        type="t",
        param="p",
        headers={"x-request-id": "r1"},
        body='{"error": "no"}',
        url="https://h.example/v1/chat/completions",
        retry_after=1.5,
        request_id="r1",
    )


SAMPLES: Final[list[InferenceError]] = [
    InferenceError("m", request_id="r1"),
    ConfigurationError("m"),
    UnknownOptionError("m"),
    CredentialError("m"),
    ClientStateError("m"),
    ClientClosedError("m"),
    WrongEventLoopError("m"),
    APIConnectionError("m", request_id="r1"),
    APITimeoutError("m", phase="first_token", elapsed=1.25, chunks=3, partial=PARTIAL, request_id="r1"),
    PoolTimeoutError("m", phase="pool", elapsed=1.25),
    ConnectTimeoutError("m", phase="connect", elapsed=1.25),
    FirstTokenTimeoutError("m", phase="first_token", elapsed=1.25),
    BetweenTokensTimeoutError("m", phase="between_tokens", elapsed=1.25, chunks=3, partial=PARTIAL),
    TotalTimeoutError("m", phase="total", elapsed=1.25),
    status_error(APIStatusError, 418),
    status_error(BadRequestError, 400),
    ContentFilterError(
        "m",
        content_filter=ContentFilterResults({"hate": {"filtered": True, "severity": "high"}}),
        categories={"hate": {"filtered": True, "severity": "high"}},
        status=400,
        code="content_filter",
        body="{}",
    ),
    ResponseTypeError("m", reason="mismatch", text="{}", position="$.a", completion=PARTIAL, request_id="r1"),
    status_error(AuthenticationError, 401),
    status_error(PermissionDeniedError, 403),
    status_error(NotFoundError, 404),
    status_error(ConflictError, 409),
    status_error(UnprocessableEntityError, 422),
    status_error(RateLimitError, 429),
    status_error(InternalServerError, 503),
    InvalidResponseError("m", status=201, body="<html>", request_id="r1"),
    ToolError(
        "m",
        tool="t",
        call_id="1",
        messages=[UserMessage("u"), PARTIAL.message, ToolMessage("{}", tool_call_id="2")],
        completion=PARTIAL,
    ),
    ToolLoopError("m", messages=[UserMessage("u"), PARTIAL.message], completion=PARTIAL),
    StreamError("m", partial=PARTIAL, code="c", type="t", request_id="r1"),
    EventTooLargeError("m", partial=PARTIAL, request_id="r1"),
    IncompleteStreamError("m", partial=PARTIAL, request_id="r1"),
]


def name_of(error: InferenceError) -> str:
    return type(error).__name__


def assert_same(twin: object, error: InferenceError) -> None:
    assert type(twin) is type(error)
    assert isinstance(twin, InferenceError)
    assert twin is not error
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert str(twin) == str(error) == error.message
    assert repr(twin) == repr(error)


def test_all_names_exactly_the_errors() -> None:
    defined = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert sorted(defined) == errors.__all__
    assert {cls.__name__ for cls in PARENTS} | {"InferenceError"} == set(errors.__all__)


@pytest.mark.parametrize("cls", PARENTS, ids=lambda cls: cls.__name__)
def test_parent(cls: type[InferenceError]) -> None:
    assert cls.__bases__[0] is PARENTS[cls]
    assert issubclass(cls, InferenceError)


@pytest.mark.parametrize("cls", PARENTS, ids=lambda cls: cls.__name__)
def test_builtin_bases(cls: type[InferenceError]) -> None:
    kinds = (ValueError, TypeError, RuntimeError, TimeoutError, OSError, LookupError, AttributeError)
    assert {kind for kind in kinds if issubclass(cls, kind)} == set(BUILTINS.get(cls, ()))


def test_docstring_draws_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn: list[tuple[int, str]] = [
        (len(found[1]), found[2])
        for found in re.finditer(r"^    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)\b", errors.__doc__, re.MULTILINE)
    ]
    names = [name for _, name in drawn]
    assert sorted(names) == errors.__all__
    for name in errors.__all__:
        assert len(re.findall(rf"[ ─]{name}\b", errors.__doc__)) == 1
    stack: list[tuple[int, str]] = []
    for depth, name in drawn:
        while stack and stack[-1][0] >= depth:
            stack.pop()
        cls = getattr(errors, name)
        if stack:
            assert cls.__bases__[0].__name__ == stack[-1][1]
        else:
            assert cls is InferenceError
        stack.append((depth, name))


def test_every_class_has_a_sample() -> None:
    assert sorted(map(name_of, SAMPLES)) == errors.__all__


@pytest.mark.parametrize("error", SAMPLES, ids=name_of)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(error: InferenceError, protocol: int) -> None:
    assert_same(pickle.loads(pickle.dumps(error, protocol)), error)


@pytest.mark.parametrize("error", SAMPLES, ids=name_of)
def test_copies(error: InferenceError) -> None:
    assert_same(copy.copy(error), error)
    assert_same(copy.deepcopy(error), error)


def test_pickle_keeps_extra_of_the_partial() -> None:
    twin = pickle.loads(pickle.dumps(StreamError("m", partial=PARTIAL)))
    assert twin.partial.extra == {"provider": "p"}
    assert twin.partial.message.extra == {"mood": "calm"}
    assert twin.partial.usage.extra == {"cost": 0.5}


def test_pickle_keeps_notes_and_added_attributes() -> None:
    error = BadRequestError("m", status=400)
    error.add_note("call 3 of 7")
    twin = pickle.loads(pickle.dumps(error))
    assert twin.__notes__ == ["call 3 of 7"]


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 418, 422, 429, 500, 529])
def test_pickles_from_a_reply(status: int) -> None:
    error = error_from(
        status=status,
        headers={"retry-after": "2", "x-request-id": "r1", "location": "https://elsewhere.example/"},
        body=b'{"error":{"code":"c","message":"m","param":"p","type":"t"}}',
        url="https://h.example/v1/chat/completions?api-version=v1",
    )
    assert type(error) is APIStatusError.for_status(status)
    assert (error.status, error.code, error.param, error.type, error.retry_after) == (status, "c", "p", "t", 2.0)
    assert_same(pickle.loads(pickle.dumps(error)), error)
    assert_same(copy.copy(error), error)


def test_content_filter_pickles_from_a_reply() -> None:
    error = error_from(
        status=400,
        headers={},
        body=b'{"error":{"code":"content_filter","message":"m",'
        b'"innererror":{"content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}',
        url="https://h.example/",
    )
    assert isinstance(error, ContentFilterError)
    twin = pickle.loads(pickle.dumps(error))
    assert_same(twin, error)
    assert twin.categories == {"hate": {"filtered": True, "severity": "high"}}


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (200, APIStatusError),
        (302, APIStatusError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, APIStatusError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, APIStatusError),
        (408, APIStatusError),
        (409, ConflictError),
        (413, APIStatusError),
        (418, APIStatusError),
        (422, UnprocessableEntityError),
        (424, APIStatusError),
        (429, RateLimitError),
        (499, APIStatusError),
        (500, InternalServerError),
        (502, InternalServerError),
        (503, InternalServerError),
        (504, InternalServerError),
        (529, InternalServerError),
        (599, InternalServerError),
    ],
)
def test_for_status(status: int, cls: type[APIStatusError]) -> None:
    assert APIStatusError.for_status(status) is cls


def test_headers_and_categories_are_copies() -> None:
    headers = {"a": "1"}
    categories = {"hate": {"filtered": True}}
    error = ContentFilterError(
        "m", content_filter=ContentFilterResults(), categories=categories, status=400, headers=headers
    )
    headers["b"] = "2"
    categories["sexual"] = {"filtered": True}
    assert error.headers == {"a": "1"}
    assert error.categories == {"hate": {"filtered": True}}


def test_defaults() -> None:
    error = ContentFilterError("m", content_filter=ContentFilterResults(), status=400)
    assert (error.detail, error.body, error.url, error.headers, error.categories) == ("", "", "", {}, {})
    assert (error.code, error.type, error.param, error.retry_after, error.request_id) == (None, None, None, None, None)
    assert str(error) == "m"


ANSWER: Final = msgspec.structs.replace(PARTIAL, meta=ResponseMeta(request_id="r9", status=201, attempts=3))
"""What holds an answer has the answer's own request id, and knows how often it was sent."""

HELD: Final[dict[str, tuple[type[InferenceError], dict[str, Any], dict[str, Any]]]] = {
    "any": (InferenceError, {"request_id": "r1"}, {"status": None, "partial": None, "phase": None, "attempts": 0}),
    "connection": (
        APIConnectionError,
        {"kind": "cut", "phase": "headers", "stale": True, "begun": True, "request_id": "r1"},
        {"status": None, "partial": None, "attempts": 0},
    ),
    "connection, bare": (
        APIConnectionError,
        {},
        {"kind": "other", "phase": None, "stale": False, "begun": False, "request_id": None},
    ),
    "timeout": (
        APITimeoutError,
        {"phase": "between_tokens", "elapsed": 1.5, "chunks": 3, "partial": PARTIAL, "request_id": "r1"},
        {"kind": "timeout", "stale": False},
    ),
    "timeout, bare": (
        ConnectTimeoutError,
        {"phase": "connect", "elapsed": 1.5},
        {"kind": "timeout", "chunks": 0, "partial": None, "request_id": None},
    ),
    "timeout of the pool": (PoolTimeoutError, {"phase": "pool", "elapsed": 60.0}, {"kind": "pool", "chunks": 0}),
    "status": (
        BadRequestError,
        {
            "status": 400,
            "detail": "no",
            "code": "c",
            "type": "t",
            "param": "p",
            "headers": {"a": "1"},
            "body": "{}",
            "url": "https://h.example/",
            "retry_after": 1.5,
            "request_id": "r1",
        },
        {"phase": "headers", "partial": None},
    ),
    "content filter": (
        ContentFilterError,
        {
            "content_filter": ContentFilterResults({"hate": {"filtered": True}}),
            "categories": {"hate": {"filtered": True}},
            "completion": ANSWER,
            "status": 200,
            "request_id": "r1",
        },
        {"phase": "body", "attempts": 3},
    ),
    "type": (
        ResponseTypeError,
        {
            "reason": "mismatch",
            "text": "{}",
            "position": "$.a",
            "completion": ANSWER,
            "repaired": [PARTIAL],
            "request_id": "r1",
        },
        {"status": 201, "phase": "body", "attempts": 3},
    ),
    "type, bare": (
        ResponseTypeError,
        {"reason": "empty", "text": "", "completion": PARTIAL},
        {"status": None, "position": None, "repaired": [], "request_id": None},
    ),
    "invalid": (InvalidResponseError, {"status": 201, "body": "<html>", "request_id": "r1"}, {"phase": "body"}),
    "invalid, bare": (InvalidResponseError, {}, {"status": 200, "body": "", "phase": "body", "request_id": None}),
    "tool": (
        ToolError,
        {"tool": "t", "call_id": "1", "messages": [UserMessage("u")], "completion": ANSWER},
        {"request_id": "r9", "attempts": 3},
    ),
    "tool loop": (
        ToolLoopError,
        {"messages": [UserMessage("u")], "completion": ANSWER},
        {"request_id": "r9", "attempts": 3},
    ),
    "stream": (
        StreamError,
        {"partial": PARTIAL, "code": "c", "type": "t", "status": 503, "request_id": "r1"},
        {"phase": "body"},
    ),
    "stream, bare": (
        IncompleteStreamError,
        {},
        {"partial": None, "code": None, "type": None, "status": 200, "phase": "body", "request_id": None},
    ),
}


@pytest.mark.parametrize(("cls", "given", "besides"), HELD.values(), ids=HELD)
def test_holds_what_it_was_given(cls: type[InferenceError], given: dict[str, Any], besides: dict[str, Any]) -> None:
    error = cls("m", **given)
    assert (str(error), error.message, error.args) == ("m", "m", ("m",))
    expected = given | besides
    assert {name: getattr(error, name) for name in expected} == expected


@pytest.mark.parametrize("cls", [ToolError, ToolLoopError])
def test_messages_are_a_copy(cls: Callable[..., ToolError | ToolLoopError]) -> None:
    messages = [UserMessage("u")]
    error = cls(
        "m", messages=messages, completion=PARTIAL, **({"tool": "t", "call_id": "1"} if cls is ToolError else {})
    )
    messages.clear()
    assert error.messages == [UserMessage("u")]


def raised(error: BaseException, *, cause: BaseException | None = None, context: BaseException | None = None) -> None:
    """Give an error a frame, and what stands behind it."""
    with pytest.raises(type(error)):
        raise error
    if context is not None:
        error.__context__ = context
    if cause is not None:
        error.__cause__ = cause


def test_frames_of_ours_are_left_behind_and_no_others() -> None:
    foreign, seen, last, first = OSError("x"), ValueError("y"), StreamError("b"), InferenceError("a")
    raised(foreign)
    raised(seen)
    raised(last, cause=foreign, context=seen)
    raised(first, cause=last)
    errors.without_frames(first)
    assert (first.__traceback__, last.__traceback__) == (None, None)
    assert (first.__cause__, last.__cause__) == (last, foreign)
    assert last.__context__ is None, "a cause hides the context"
    assert foreign.__traceback__ is not None


@pytest.mark.parametrize("behind", ["cause", "context"])
def test_frames_of_others_are_dropped_down_to_the_first(behind: str) -> None:
    first, second, last = OSError("x"), ValueError("y"), KeyError("z")
    raised(first)
    raised(second, **{behind: first})
    raised(last, **{behind: second})
    errors.drop_frames(last)
    assert [error.__traceback__ for error in (first, second, last)] == [None, None, None]


def test_a_context_that_is_shown_stays() -> None:
    error, context = InferenceError("a"), ValueError("y")
    raised(error, context=context)
    errors.without_frames(error)
    assert error.__context__ is context


def test_a_message_in_other_words() -> None:
    error = RateLimitError("too much", status=429)
    error.reword("no")
    assert (str(error), error.message, error.args) == ("no", "no", ("no",))


@pytest.mark.parametrize(
    ("phase", "cls"),
    [
        ("pool", PoolTimeoutError),
        ("connect", ConnectTimeoutError),
        ("first_token", FirstTokenTimeoutError),
        ("between_tokens", BetweenTokensTimeoutError),
        ("total", TotalTimeoutError),
        ("headers", APITimeoutError),
        ("body", APITimeoutError),
    ],
)
def test_for_phase(phase: Phase, cls: type[APITimeoutError]) -> None:
    assert APITimeoutError.for_phase(phase) is cls


@pytest.mark.parametrize(
    ("fields", "retryable"),
    [
        pytest.param({}, False, id="no word of it"),
        pytest.param({"code": "rate_limit_exceeded"}, True, id="its code"),
        pytest.param({"type": "Overloaded-Error"}, True, id="its type, otherwise spelled"),
        pytest.param({"code": "content_filter", "type": "server error"}, True, id="one of the two"),
        pytest.param({"code": "context_length_exceeded"}, False, id="the call is wrong"),
        pytest.param({"status": 407}, False, id="407"),
        pytest.param({"status": 408}, True, id="408"),
        pytest.param({"status": 409}, True, id="409"),
        pytest.param({"status": 429}, True, id="429"),
        pytest.param({"status": 499}, False, id="499"),
        pytest.param({"status": 500}, True, id="500"),
        pytest.param({"status": 529}, True, id="529"),
    ],
)
def test_an_error_event_that_may_not_come_again(fields: dict[str, Any], retryable: bool) -> None:
    assert StreamError("m", **fields).retryable is retryable
    assert IncompleteStreamError("m", **fields).retryable


@pytest.mark.parametrize(
    ("status", "fields", "retryable"),
    [
        pytest.param(400, {}, False, id="400"),
        pytest.param(408, {}, True, id="408"),
        pytest.param(409, {}, True, id="409"),
        pytest.param(429, {}, True, id="429"),
        pytest.param(499, {}, False, id="499"),
        pytest.param(500, {}, True, id="500"),
        pytest.param(429, {"code": "Insufficient-Quota"}, False, id="a quota used up, by its code"),
        pytest.param(429, {"type": "billing_not_active"}, False, id="a quota used up, by its type"),
        pytest.param(429, {"code": "rate_limit", "type": "requests"}, True, id="a rate"),
        pytest.param(503, {"code": "insufficient_quota"}, True, id="a quota is a matter of 429"),
        pytest.param(503, {"headers": {"x-should-retry": "false"}}, False, id="told not to"),
        pytest.param(400, {"headers": {"x-should-retry": " True "}}, True, id="told to"),
        pytest.param(429, {"code": "insufficient_quota", "headers": {"x-should-retry": "true"}}, True, id="told so"),
        pytest.param(503, {"headers": {"x-should-retry": "perhaps"}}, True, id="told nothing"),
        pytest.param(424, {}, False, id="424"),
        pytest.param(424, {"headers": {"ms-azureml-model-error-statuscode": "500"}}, True, id="424 of a 500"),
        pytest.param(424, {"headers": {"ms-azureml-model-error-statuscode": "400"}}, False, id="424 of a 400"),
        pytest.param(424, {"headers": {"ms-azureml-model-error-statuscode": "5000"}}, False, id="424 of no status"),
        pytest.param(424, {"headers": {"ms-azureml-model-error-statuscode": "x"}}, False, id="424 of a word"),
        pytest.param(424, {"headers": {"ms-azureml-model-error-statuscode": "²²²"}}, False, id="424 of odd digits"),
        pytest.param(400, {"headers": {"ms-azureml-model-error-statuscode": "500"}}, False, id="only a 424 hides one"),
    ],
)
def test_a_refusal_that_may_not_come_again(status: int, fields: dict[str, Any], retryable: bool) -> None:
    assert APIStatusError.for_status(status)("m", status=status, **fields).retryable is retryable


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [("dns", True), ("cut", True), ("tls", True), ("other", True), ("certificate", False), ("protocol", False)],
)
def test_a_lost_connection_that_may_not_come_again(kind: Any, retryable: bool) -> None:
    assert APIConnectionError("m", kind=kind).retryable is retryable
    assert not InferenceError("m").retryable
