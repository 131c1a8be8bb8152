"""What a run offers, and who answers the calls."""

from __future__ import annotations

from typing import Any

import pytest

from inference_async import ConfigurationError, FunctionDefinition, ToolDefinition, tool
from inference_async.tools.offer import Offer


def plus(a: int, b: int) -> int:
    """Adds."""
    return a + b


MINUS = ToolDefinition(FunctionDefinition("minus"))
TIMES = {"type": "function", "function": {"name": "times"}}
SEARCH = {"type": "web_search"}


def test_tools_functions_and_definitions_keep_their_order() -> None:
    offer = Offer([MINUS, plus, TIMES, tool(plus, name="add"), SEARCH])
    assert offer.definitions[0] is MINUS
    assert offer.definitions[2] is TIMES
    assert offer.definitions[4] is SEARCH
    assert list(offer.tools) == ["plus", "add"]
    assert offer.open == {"minus", "times", ""}
    assert offer.names == ["plus", "add", "minus", "times"]


def test_a_dict_may_hold_a_struct() -> None:
    assert Offer([{"type": "function", "function": MINUS.function}]).open == {"minus"}


@pytest.mark.parametrize(
    "tools",
    [[plus, tool(plus)], [MINUS, tool(plus, name="minus")], [TIMES, TIMES]],
    ids=["functions", "definition and function", "definitions"],
)
def test_two_tools_of_one_name(tools: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"two tools of the name '\w+'"):
        Offer(tools)


def test_two_tools_without_a_name_are_no_conflict() -> None:
    assert Offer([SEARCH, {"type": "code"}]).open == {""}


@pytest.mark.parametrize("tools", [plus, tool(plus), MINUS, TIMES, "plus", None, 5], ids=repr)
def test_what_is_no_list_of_tools(tools: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a list of tools"):
        Offer(tools)


def test_what_is_no_tool() -> None:
    with pytest.raises(ConfigurationError, match="got a tool of type str"):
        Offer(["plus"])  # type: ignore[list-item]  # what is tested
