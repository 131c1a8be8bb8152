"""What a request says of its tools with ``tool_choice``: which may be called, and whether one must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..types.base import is_array, is_object
from .refusals import invalid

__all__ = ["Callables", "callables_in", "check_choice"]

_WHERE = "tool_choice"


class Callables(NamedTuple):
    """The tools that may be called.

    Attributes:
        schemas: the schemas of their arguments, by their names, as offered; None for a tool without arguments.
        must: one of them must be called.
    """

    schemas: dict[str, Any]
    must: bool


def callables_in(body: Mapping[str, Any]) -> Callables:
    """What a checked request lets the model call."""
    tools: list[Any] = body.get("tools") or []
    offered = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    choice = body.get("tool_choice")
    if not is_object(choice):
        return Callables({} if choice == "none" else offered, choice == "required")
    names, must = _named(choice)
    return Callables({name: schema for name, schema in offered.items() if name in names}, must)


def check_choice(body: Mapping[str, Any]) -> None:
    """The functions that a choice names are offered, and there is something to choose from.

    Raises:
        Refusal: 400.
    """
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return
    if not body.get("tools"):
        raise invalid(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", param=_WHERE
        )
    if not is_object(choice):
        return
    names, _ = _named(choice)
    offered = [tool["function"]["name"] for tool in body["tools"]]
    gone = [name for name in names if name not in offered]
    if gone:
        raise invalid(f"Invalid value: 'tool_choice' names {gone[0]!r}, which is not in 'tools'.", param=_WHERE)


def _named(choice: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The names in a choice that is an object, and whether one of them must be called.

    Raises:
        Refusal: 400, it is no choice.
    """
    kind = choice.get("type")
    if kind == "function":
        return [_name_in(choice)], True
    if kind != "allowed_tools":
        raise invalid(
            f"Invalid value: {kind!r}. Supported values are: 'function' and 'allowed_tools'.", param=f"{_WHERE}.type"
        )
    allowed = choice.get("allowed_tools")
    if not is_object(allowed) or not is_array(allowed.get("tools")) or not allowed["tools"]:
        where = f"{_WHERE}.allowed_tools.tools"
        raise invalid(f"Missing required parameter: '{where}'.", param=where)
    mode = allowed.get("mode")
    if mode not in ("auto", "required"):
        where = f"{_WHERE}.allowed_tools.mode"
        raise invalid(f"Invalid value: {mode!r}. Supported values are: 'auto' and 'required'.", param=where)
    return [_name_in(tool) for tool in allowed["tools"]], mode == "required"


def _name_in(choice: Any) -> str:
    function = choice.get("function") if is_object(choice) else None
    name = function.get("name") if is_object(function) else None
    if not isinstance(name, str):
        raise invalid(f"Missing required parameter: '{_WHERE}.function.name'.", param=_WHERE)
    return name
