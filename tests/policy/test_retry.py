"""When a failed attempt is worth another: tables, without a loop, a clock or a die."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from inference_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ClientClosedError,
    ConfigurationError,
    CredentialError,
    EventTooLargeError,
    IncompleteStreamError,
    InferenceError,
    InvalidResponseError,
    StreamError,
)
from inference_async.policy.retry import Budget, FailedAttempt, Retrying, RetryPolicy


def refused(
    status: int,
    *,
    retry_after: float | None = None,
    code: str | None = None,
    kind: str | None = None,
    headers: dict[str, str] | None = None,
) -> APIStatusError:
    cls = APIStatusError.for_status(status)
    return cls("m", status=status, retry_after=retry_after, code=code, type=kind, headers=headers)


def timed_out(phase: Any) -> APITimeoutError:
    return APITimeoutError.for_phase(phase)("m", phase=phase, elapsed=1.0)


def cut(**fields: Any) -> APIConnectionError:
    return APIConnectionError("m", **({"kind": "cut", "phase": "headers"} | fields))


def retrying(policy: RetryPolicy | None = None, budget: Budget | None = None, *, dice: float = 1.0) -> Retrying:
    return Retrying(policy or RetryPolicy(), budget or Budget(), dice=lambda: dice)


def delay(error: InferenceError, policy: RetryPolicy | None = None, **fields: Any) -> float | None:
    """What is decided of the first failure of a call."""
    return retrying(policy, **fields).delay(error, elapsed=0.0, left=None)


def no_wait(attempt: FailedAttempt) -> float | None:
    return 0.0


# ---------------------------------------------------------------------------------------------------------------------
# The policy as a value


def test_defaults() -> None:
    policy = RetryPolicy()
    assert (policy.retries, policy.backoff, policy.max_backoff, policy.max_retry_after) == (2, 0.5, 8.0, 60.0)
    assert (policy.budgeted, policy.hook) == (True, None)
    assert len(policy.__struct_fields__) == 6


NO_SECONDS: Final[list[Any]] = [-0.1, -1, math.nan, math.inf, -math.inf, 1.1e9, 10**400, 10**5000, True, "1", None, [1]]
REFUSED: Final[dict[str, list[Any]]] = {
    "retries": [-1, 1001, 10**5000, 1.0, True, False, "2", None, math.nan, [2]],
    "backoff": NO_SECONDS,
    "max_backoff": NO_SECONDS,
    "max_retry_after": NO_SECONDS,
    "budgeted": [0, 1, 1.0, None, "yes", []],
    "hook": [1, "f", True],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}: {type(value).__name__}")
        for name, values in REFUSED.items()
        for value in values
    ],
)
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^got (a )?{name}\b.*expected") as caught:
        RetryPolicy(**{name: value})
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("field", "quoted"),
    [
        ({"retries": -3}, "retries=-3,"),
        ({"backoff": -0.5}, "backoff=-0.5,"),
        ({"max_backoff": "8"}, "max_backoff='8',"),
        ({"budgeted": "yes"}, "budgeted='yes',"),
        ({"hook": 5}, "a hook of type int,"),
    ],
    ids=str,
)
def test_a_refusal_quotes_what_it_got(field: dict[str, Any], quoted: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(**field)
    assert str(caught.value).startswith(f"got {quoted} expected ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", 0),
        ("retries", 1000),
        ("backoff", 0),
        ("backoff", 1e9),
        ("max_backoff", 0.0),
        ("max_retry_after", 0),
        ("max_retry_after", 86_400),
        ("budgeted", False),
        ("hook", no_wait),
    ],
)
def test_accepted(name: str, value: Any) -> None:
    assert getattr(RetryPolicy(**{name: value}), name) == value


@pytest.mark.parametrize("name", RetryPolicy.__struct_fields__)
def test_frozen(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(RetryPolicy(), name, 1)


def test_equal_hashed_and_pickled() -> None:
    policy = RetryPolicy(retries=5, backoff=0.1, budgeted=False, hook=no_wait)
    twin = pickle.loads(pickle.dumps(policy))
    assert twin == policy
    assert hash(twin) == hash(policy)
    assert policy != RetryPolicy(retries=5, backoff=0.1, hook=no_wait)


# ---------------------------------------------------------------------------------------------------------------------
# Which errors are sent again

AGAIN: Final = (408, 409, 429, 500, 501, 502, 503, 504, 524, 529, 599)
NEVER: Final = (200, 301, 302, 307, 400, 401, 402, 403, 404, 405, 407, 410, 413, 415, 418, 422, 424, 428, 430, 499)
QUOTA: Final = (
    "insufficient_quota",
    "InsufficientQuota",
    "QuotaExceeded",
    "quota_exceeded",
    "Quota-Exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
)


@pytest.mark.parametrize("status", AGAIN)
def test_statuses_that_are_sent_again(status: int) -> None:
    assert refused(status).retryable
    assert delay(refused(status)) == 0.5


@pytest.mark.parametrize("status", NEVER)
def test_statuses_that_are_not(status: int) -> None:
    assert not refused(status).retryable
    assert delay(refused(status)) is None


@pytest.mark.parametrize("status", AGAIN + NEVER)
@pytest.mark.parametrize(("says", "again"), [("true", True), (" TRUE ", True), ("false", False), ("False", False)])
def test_the_service_has_the_say(status: int, says: str, again: bool) -> None:
    error = refused(status, headers={"x-should-retry": says})
    assert error.retryable is again
    assert (delay(error) is not None) is again


@pytest.mark.parametrize("says", ["", "yes", "1", "maybe", "true, false"])
def test_the_service_says_nothing_usable(says: str) -> None:
    assert refused(503, headers={"x-should-retry": says}).retryable
    assert not refused(400, headers={"x-should-retry": says}).retryable


@pytest.mark.parametrize(
    ("inner", "again"),
    [
        ("500", True),
        ("503", True),
        ("429", True),
        ("408", True),
        ("400", False),
        ("422", False),
        ("424", False),
        ("200", False),
        ("", False),
        ("50", False),
        ("5000", False),
        ("5 0", False),
        ("-50", False),
        ("²²²", False),
        ("five", False),
    ],
)
def test_424_is_what_it_hides(inner: str, again: bool) -> None:
    error = refused(424, headers={"ms-azureml-model-error-statuscode": inner})
    assert error.retryable is again
    assert (delay(error) is not None) is again


def test_only_424_hides_another_status() -> None:
    assert not refused(400, headers={"ms-azureml-model-error-statuscode": "503"}).retryable
    assert refused(503, headers={"ms-azureml-model-error-statuscode": "400"}).retryable


@pytest.mark.parametrize("word", QUOTA)
@pytest.mark.parametrize("field", ["code", "kind"])
def test_a_quota_that_is_used_up(word: str, field: str) -> None:
    fields: dict[str, Any] = {field: word}
    assert not refused(429, **fields).retryable
    assert not refused(424, headers={"ms-azureml-model-error-statuscode": "429"}, **fields).retryable
    assert refused(503, **fields).retryable, "only a 429 speaks of quotas"
    assert refused(429, headers={"x-should-retry": "true"}, **fields).retryable


@pytest.mark.parametrize("word", [None, "", "429", "rate_limit_exceeded", "RateLimitReached", "too_many_requests"])
def test_a_quota_that_comes_back(word: str | None) -> None:
    assert refused(429, code=word, kind=word).retryable


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(cut(phase="connect", kind="connect"), True, id="refused"),
        pytest.param(cut(phase="connect", kind="dns"), True, id="no such name"),
        pytest.param(cut(phase="connect", kind="tls"), True, id="tls"),
        pytest.param(cut(phase="connect", kind="proxy"), True, id="proxy"),
        pytest.param(cut(phase="connect", kind="certificate"), False, id="not trusted"),
        pytest.param(cut(phase="headers", kind="cut"), True, id="cut before the answer"),
        pytest.param(cut(phase="headers", kind="protocol"), False, id="not HTTP"),
        pytest.param(cut(phase="body", kind="cut"), False, id="cut in the answer"),
        pytest.param(cut(phase=None), False, id="nobody knows when"),
        pytest.param(timed_out("connect"), True, id="no connection in time"),
        pytest.param(timed_out("pool"), False, id="no place in time"),
        pytest.param(timed_out("first_token"), False, id="no first token in time"),
        pytest.param(timed_out("between_tokens"), False, id="no next token in time"),
        pytest.param(timed_out("total"), False, id="total"),
        pytest.param(timed_out("headers"), False, id="no head in time"),
        pytest.param(InferenceError("m"), False, id="any other"),
        pytest.param(ConfigurationError("m"), False, id="configuration"),
        pytest.param(CredentialError("m"), False, id="credential"),
        pytest.param(ClientClosedError("m"), False, id="closed"),
        pytest.param(InvalidResponseError("m"), False, id="no answer"),
        pytest.param(StreamError("m", status=503), False, id="error in a stream"),
        pytest.param(IncompleteStreamError("m"), False, id="cut stream"),
        pytest.param(EventTooLargeError("m"), False, id="event too large"),
    ],
)
def test_other_errors(error: InferenceError, again: bool) -> None:
    assert (delay(error) is not None) is again


# ---------------------------------------------------------------------------------------------------------------------
# How long to wait


def waits(policy: RetryPolicy, errors: int, *, dice: float = 1.0) -> list[float | None]:
    call = retrying(policy, dice=dice)
    return [call.delay(refused(503), elapsed=0.0, left=None) for _ in range(errors)]


def test_backoff_doubles_up_to_its_bound() -> None:
    assert waits(RetryPolicy(retries=7), 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None]


def test_backoff_and_bound_are_the_callers() -> None:
    assert waits(RetryPolicy(retries=4, backoff=3, max_backoff=20), 5) == [3.0, 6.0, 12.0, 20.0, None]
    assert waits(RetryPolicy(retries=2, backoff=9, max_backoff=1), 2) == [1.0, 1.0]
    assert waits(RetryPolicy(retries=2, backoff=0), 2) == [0.0, 0.0]


@pytest.mark.parametrize(("dice", "expected"), [(0.0, [0.0] * 3), (0.5, [0.25, 0.5, 1.0]), (1.0, [0.5, 1.0, 2.0])])
def test_full_jitter(dice: float, expected: list[float]) -> None:
    assert waits(RetryPolicy(retries=3), 3, dice=dice) == expected


def test_the_dice_are_thrown_for_each_wait() -> None:
    throws = iter([0.25, 1.0])
    call = Retrying(RetryPolicy(), Budget(), dice=lambda: next(throws))
    assert [call.delay(refused(503), elapsed=0, left=None) for _ in range(2)] == [0.125, 1.0]


def test_dice_of_its_own_stay_within_the_bounds() -> None:
    seen: set[float] = set()
    for _ in range(50):
        wait = Retrying(RetryPolicy(), Budget()).delay(refused(503), elapsed=0, left=None)
        assert wait is not None
        assert 0 <= wait <= 0.5
        seen.add(wait)
    assert len(seen) > 25


def test_a_thousand_retries_do_not_overflow() -> None:
    found = waits(RetryPolicy(retries=1000, backoff=1e9, max_backoff=1e9, budgeted=False), 1001)
    assert found == [1e9] * 1000 + [None]


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_as_often_as_the_policy_says(retries: int) -> None:
    assert [wait is not None for wait in waits(RetryPolicy(retries=retries), 7)].count(True) == retries


@pytest.mark.parametrize("status", [429, 503, 408])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [(0.3, 0.3), (7.0, 7.0), (60.0, 60.0), (60.001, None), (86_400.0, None), (0.0, 0.5), (None, 0.5), (1e-6, 1e-6)],
)
def test_a_wait_the_service_asks_for(status: int, asked: float | None, expected: float | None) -> None:
    assert delay(refused(status, retry_after=asked)) == expected


def test_the_longest_wait_is_the_callers() -> None:
    policy = RetryPolicy(max_retry_after=5)
    assert delay(refused(429, retry_after=5.0), policy) == 5.0
    assert delay(refused(429, retry_after=5.1), policy) is None
    assert delay(refused(429, retry_after=0.1), RetryPolicy(max_retry_after=0)) is None
    assert delay(refused(429, retry_after=100.0), RetryPolicy(max_retry_after=100)) == 100.0


WAIT: Final = "; the service asks to wait 61 s"


@pytest.mark.parametrize("said", ["m", f"m{WAIT}"], ids=["a message", "one that names the wait"])
@pytest.mark.parametrize(
    ("policy", "left", "words"),
    [
        pytest.param(RetryPolicy(), None, "above max_retry_after (60 s)", id="too long"),
        pytest.param(RetryPolicy(max_retry_after=2.5), 1.0, "above max_retry_after (2.5 s)", id="too long, no time"),
        pytest.param(RetryPolicy(hook=lambda at: at.delay), None, "above max_retry_after (60 s)", id="the hook agrees"),
        pytest.param(
            RetryPolicy(max_retry_after=61), 61.0, "which would not end within timeout 'total'", id="no time left"
        ),
    ],
)
def test_an_error_says_that_the_wait_asked_for_is_too_long(
    policy: RetryPolicy, left: float | None, words: str, said: str
) -> None:
    error = refused(503, retry_after=61.0)
    error.reword(said)
    assert retrying(policy).delay(error, elapsed=0.0, left=left) is None
    assert str(error) == error.message == f"m{WAIT}, {words}, so it was not sent again"


@pytest.mark.parametrize(
    ("error", "policy", "left"),
    [
        pytest.param(refused(503, retry_after=60.0), RetryPolicy(), None, id="a wait that is slept"),
        pytest.param(refused(503, retry_after=61.0), RetryPolicy(retries=0), None, id="no retries"),
        pytest.param(refused(503, retry_after=61.0), RetryPolicy(hook=no_wait), None, id="overruled by the hook"),
        pytest.param(refused(503, retry_after=60.0), RetryPolicy(hook=lambda _: None), None, id="given up by the hook"),
        pytest.param(refused(503, retry_after=5.0), RetryPolicy(hook=lambda _: 9.0), 7.0, id="the hook's wait"),
        pytest.param(refused(400, retry_after=61.0), RetryPolicy(), None, id="nothing that is sent again"),
        pytest.param(refused(503), RetryPolicy(), 0.1, id="a wait that nobody asked for"),
        pytest.param(cut(), RetryPolicy(), 0.1, id="no answer"),
    ],
)
def test_other_errors_keep_their_words(error: InferenceError, policy: RetryPolicy, left: float | None) -> None:
    retrying(policy).delay(error, elapsed=0.0, left=left)
    assert str(error) == "m"


def test_a_wait_asked_for_is_not_bounded_by_max_backoff_nor_thrown_for() -> None:
    assert delay(refused(429, retry_after=30.0), RetryPolicy(max_backoff=1), dice=0.1) == 30.0


def test_a_wait_asked_for_does_not_stop_the_growth_of_the_others() -> None:
    call = retrying(RetryPolicy(retries=3))
    errors = [refused(429, retry_after=3.0), refused(503), refused(503)]
    assert [call.delay(error, elapsed=0, left=None) for error in errors] == [3.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("left", "expected"), [(None, 0.5), (10.0, 0.5), (0.501, 0.5), (0.5, None), (0.1, None), (0.0, None), (-1.0, None)]
)
def test_a_wait_that_the_deadline_would_cut_is_not_begun(left: float | None, expected: float | None) -> None:
    budget = Budget()
    assert retrying(budget=budget).delay(refused(503), elapsed=0, left=left) == expected
    assert budget.tokens == (500 if expected is None else 486), "what is not sent costs nothing"


def test_no_wait_at_all_needs_time_too() -> None:
    assert retrying(dice=0.0).delay(refused(503), elapsed=0, left=0.0) is None


# ---------------------------------------------------------------------------------------------------------------------
# Connections that were closed in the pool


@pytest.mark.parametrize("retries", [0, 2])
def test_a_stale_connection_costs_nothing_once(retries: int) -> None:
    budget = Budget()
    call = retrying(RetryPolicy(retries=retries, hook=lambda attempt: pytest.fail("asked")), budget)
    assert call.delay(cut(stale=True), elapsed=0, left=None) == 0.0
    assert budget.tokens == 500


def test_a_second_stale_connection_is_an_error_like_any_other() -> None:
    budget = Budget()
    call = retrying(RetryPolicy(retries=1), budget)
    assert [call.delay(cut(stale=True), elapsed=0, left=None) for _ in range(3)] == [0.0, 0.5, None]
    assert budget.tokens == 486
    none = retrying(RetryPolicy(retries=0))
    assert [none.delay(cut(stale=True), elapsed=0, left=None) for _ in range(2)] == [0.0, None]


def test_a_connection_that_was_not_stale_is_paid_for() -> None:
    assert delay(cut(stale=False), RetryPolicy(retries=0)) is None


# ---------------------------------------------------------------------------------------------------------------------
# The hook


def test_what_the_hook_sees() -> None:
    seen: list[FailedAttempt] = []

    def hook(attempt: FailedAttempt) -> float | None:
        seen.append(attempt)
        return attempt.delay

    call = retrying(RetryPolicy(retries=2, hook=hook))
    errors = [refused(503), refused(400)]
    assert call.attempts == 0, "the caller counts"
    call.attempts += 1
    assert call.delay(errors[0], elapsed=1.5, left=None) == 0.5
    call.attempts = 2
    assert call.delay(errors[1], elapsed=2.5, left=None) is None
    assert seen == [
        FailedAttempt(error=errors[0], attempt=1, elapsed=1.5, delay=0.5),
        FailedAttempt(error=errors[1], attempt=2, elapsed=2.5, delay=None),
    ]
    assert seen[0].error is errors[0]


@pytest.mark.parametrize(
    ("error", "says", "expected"),
    [
        pytest.param(refused(503), 3.0, 3.0, id="waits longer"),
        pytest.param(refused(503), 0, 0, id="waits not at all"),
        pytest.param(refused(503), None, None, id="gives up"),
        pytest.param(refused(400), 1.0, 1.0, id="tries what the policy would not"),
        pytest.param(refused(429, retry_after=86_400.0), 2.0, 2.0, id="does not wait as long as it is asked to"),
        pytest.param(refused(429, retry_after=1.0), 100.0, 100.0, id="waits longer than the cap"),
        pytest.param(cut(kind="certificate", phase="connect"), 1.0, 1.0, id="trusts"),
    ],
)
def test_the_hook_has_the_last_word(error: InferenceError, says: float | None, expected: float | None) -> None:
    assert delay(error, RetryPolicy(hook=lambda attempt: says)) == expected


def test_deadline_budget_and_number_stand_above_the_hook() -> None:
    policy = RetryPolicy(retries=1, hook=lambda attempt: 5.0)
    assert retrying(policy).delay(refused(503), elapsed=0, left=5.0) is None
    assert retrying(policy).delay(refused(503), elapsed=0, left=5.1) == 5.0
    assert delay(refused(503), policy, budget=Budget(13)) is None
    call = retrying(policy)
    assert [call.delay(refused(503), elapsed=0, left=None) for _ in range(2)] == [5.0, None]
    asked: list[FailedAttempt] = []
    assert delay(refused(503), RetryPolicy(retries=0, hook=asked.append)) is None
    assert asked == []


@pytest.mark.parametrize(
    "says", [-1, -0.1, math.nan, math.inf, True, "1", 10**5000, [1]], ids=lambda v: type(v).__name__
)
def test_a_hook_that_says_nonsense(says: Any) -> None:
    budget = Budget()
    with pytest.raises(ConfigurationError, match=r"^got .* from the hook of retries, expected seconds"):
        delay(refused(503), RetryPolicy(hook=lambda attempt: says), budget=budget)
    assert budget.tokens == 500


def test_what_a_hook_said_is_quoted() -> None:
    with pytest.raises(ConfigurationError, match=r"^got -1 from the hook"):
        delay(refused(503), RetryPolicy(hook=lambda attempt: -1))


def test_what_a_hook_raises_comes_out() -> None:
    def hook(attempt: FailedAttempt) -> float | None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        delay(refused(503), RetryPolicy(hook=hook))


# ---------------------------------------------------------------------------------------------------------------------
# The budget


def test_a_budget_gives_what_it_has() -> None:
    budget = Budget(20)
    assert [budget.take(14), budget.tokens, budget.take(14), budget.tokens, budget.take(6), budget.tokens] == [
        True,
        6,
        False,
        6,
        True,
        0,
    ]
    budget.give(5)
    assert budget.tokens == 5
    budget.give(100)
    assert budget.tokens == 20


OK: Final = "ok"


class Spec(NamedTuple):
    """A bucket, what the service answers to one call after the other, and what becomes of it."""

    tokens: int
    calls: list[list[Any]]  # the answers to the requests of each call
    delays: list[float | None]  # after each answer that is an error
    left: int
    policy: RetryPolicy = RetryPolicy(backoff=1.0)


SPECS: Final[dict[str, Spec]] = {
    "one call that works": Spec(500, [[OK]], [], 500),
    "a call that works gives a token back": Spec(480, [[OK]], [], 481),
    "works after one retry": Spec(500, [[503, OK]], [1.0], 500),
    "works after two: the last is given back": Spec(500, [[503, 503, OK]], [1.0, 2.0], 486),
    "never works": Spec(500, [[503, 503, 503]], [1.0, 2.0, None], 472),
    "a 429 is cheaper": Spec(500, [[429, 429, 429]], [1.0, 2.0, None], 490),
    "a 429 is given back as it was paid": Spec(100, [[429, OK]], [1.0], 100),
    "a 429, then a 503": Spec(500, [[429, 503, OK]], [1.0, 2.0], 495),
    "no connection": Spec(500, [[cut(), OK]], [1.0], 500),
    "no connection, again": Spec(500, [[cut(), cut(), cut()]], [1.0, 2.0, None], 472),
    "just enough": Spec(14, [[503, 503]], [1.0, None], 0),
    "not enough": Spec(13, [[503]], [None], 13),
    "enough for a 429 only": Spec(13, [[429, 503]], [1.0, None], 8),
    "just enough for a 429": Spec(5, [[429, 429]], [1.0, None], 0),
    "empty": Spec(0, [[429]], [None], 0),
    "empty, and the first call works": Spec(0, [[OK], [503]], [None], 1),
    "five calls that work pay for one 429": Spec(0, [[OK]] * 5 + [[429, 429]], [1.0, None], 0),
    "what cannot be sent again costs nothing": Spec(500, [[400]], [None], 500),
    "nor what the service asks too long a wait for": Spec(500, [[refused(429, retry_after=61.0)]], [None], 500),
    "a wait that is asked for costs the same": Spec(500, [[refused(503, retry_after=2.0), OK]], [2.0], 500),
    "a call after one that was given up": Spec(20, [[503, 503], [503]], [1.0, None, None], 6),
    "a stale connection is free": Spec(0, [[cut(stale=True), OK]], [0.0], 1),
    "out of the budget": Spec(0, [[503, 503, OK]], [1.0, 2.0], 1, RetryPolicy(backoff=1.0, budgeted=False)),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_spec(spec: Spec) -> None:
    budget = Budget()
    budget.tokens = spec.tokens
    delays: list[float | None] = []
    for answers in spec.calls:
        call = retrying(spec.policy, budget)
        for answer in answers:
            call.attempts += 1
            if answer == OK:
                call.succeeded()
            else:
                error = answer if isinstance(answer, InferenceError) else refused(answer)
                delays.append(call.delay(error, elapsed=0, left=None))
    assert delays == spec.delays
    assert budget.tokens == spec.left


@pytest.mark.parametrize(
    ("make", "requests"),
    [
        pytest.param(lambda: refused(503), 1035, id="503"),
        pytest.param(lambda: refused(429), 1100, id="429"),
        pytest.param(cut, 1035, id="no connection"),
    ],
)
def test_an_outage_of_a_thousand_calls(make: Callable[[], InferenceError], requests: int) -> None:
    budget = Budget()
    sent = 0
    for _ in range(1000):
        call = retrying(budget=budget)
        sent += 1
        while call.delay(make(), elapsed=0, left=None) is not None:
            sent += 1
    assert sent == requests
