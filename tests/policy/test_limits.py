"""Bounds on what an answer may hold."""

from __future__ import annotations

from typing import Any

import pytest

from inference_async.errors import ConfigurationError
from inference_async.policy.limits import DEFAULT_LIMITS, Limits

NAMES = (
    "max_event_bytes",
    "max_body_bytes",
    "max_error_body_bytes",
    "max_event_values",
    "max_body_values",
    "max_choices",
    "max_tool_calls",
)


def test_defaults() -> None:
    limits = Limits()
    assert limits.max_event_bytes == 16_777_216
    assert limits.max_body_bytes == 67_108_864
    assert limits.max_error_body_bytes == 65_536
    assert limits.max_event_values == 131_072
    assert limits.max_body_values == 1_048_576
    assert limits.max_choices == 128
    assert limits.max_tool_calls == 1024
    assert limits == DEFAULT_LIMITS
    assert Limits.__struct_fields__ == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, 1.5, float("inf"), "1", None], ids=repr)
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^got {name}=") as caught:
        Limits(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("max_event_bytes", "bytes"),
        ("max_error_body_bytes", "bytes"),
        ("max_body_values", "body values"),
        ("max_choices", "choices"),
        ("max_tool_calls", "tool calls"),
    ],
)
def test_the_message_says_what_is_counted(name: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Limits(**{name: 0})
    assert str(caught.value) == f"got {name}=0, expected a number of {what} above 0"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [1, 10**15])
def test_accepted(name: str, value: int) -> None:
    assert getattr(Limits(**{name: value}), name) == value


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        setattr(Limits(), "max_body_bytes", 1)  # noqa: B010  (a type checker would refuse the plain assignment)
    assert Limits(max_body_bytes=1) == Limits(max_body_bytes=1)
    assert hash(Limits()) == hash(Limits())
