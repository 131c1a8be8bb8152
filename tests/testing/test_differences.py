"""Where two JSON values differ, in words."""

from __future__ import annotations

from typing import Any

import pytest

from inference_async.testing.differences import differences

LONG = "a" * 100


@pytest.mark.parametrize(
    ("recorded", "sent", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, []),
        ({"a": 1}, {"a": 2}, ["a: 1 recorded, 2 sent"]),
        ({"a": 1}, {"a": True}, ["a: 1 recorded, True sent"]),
        ({"a": 0}, {"a": 0.0}, ["a: 0 recorded, 0.0 sent"]),
        ({"a": 1}, {"b": 1}, ["a: 1 recorded, nothing sent", "b: nothing recorded, 1 sent"]),
        (
            {"messages": [{"content": "x"}, {"content": "a"}]},
            {"messages": [{"content": "x"}, {"content": "b"}]},
            ["messages[1].content: 'a' recorded, 'b' sent"],
        ),
        ({"a": [1]}, {"a": [1, 2]}, ["a[1]: nothing recorded, 2 sent"]),
        ({"a": None}, {}, ["a: None recorded, nothing sent"]),
        (None, {"a": 1}, ["the body: None recorded, {'a': 1} sent"]),
        ({"a": "sha256:1"}, {"a": "sha256:2"}, ["a: another text was recorded than was sent"]),
        ({"a": "sha256:1"}, {"a": 2}, ["a: 'sha256:1' recorded, 2 sent"]),
        ({"a": f"{LONG}x"}, {"a": f"{LONG}y"}, [f"a: …'{'a' * 15}x' recorded, …'{'a' * 15}y' sent"]),
        ({"a": f"x{LONG}"}, {"a": "y"}, [f"a: 'x{'a' * 59}'… recorded, 'y' sent"]),
    ],
)
def test_a_line_for_each_place(recorded: Any, sent: Any, expected: list[str]) -> None:
    assert differences(recorded, sent) == expected
