"""Whether a request describes formats and functions as it must: their names, their schemas, how strict these are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ..types.base import is_object
from .refusals import invalid
from .strict import broken_rule

__all__ = ["check_format", "check_functions"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST: Final = 64
_MOST_TOOLS: Final = 128


def check_format(body: Mapping[str, Any]) -> None:
    """A ``json_schema`` has a name and a schema, which is strict if it says so.

    Raises:
        Refusal: 400.
    """
    asked = body.get("response_format")
    if not is_object(asked) or asked.get("type") != "json_schema":
        return
    wanted, where = asked["json_schema"], "response_format.json_schema"
    _check_name(wanted.get("name"), f"{where}.name")
    if wanted.get("schema") is None:
        raise invalid(f"Missing required parameter: '{where}.schema'.", param=f"{where}.schema")
    if not is_object(wanted["schema"]):
        raise invalid(f"Invalid type for '{where}.schema': expected an object.", param=f"{where}.schema")
    broken = broken_rule(wanted["schema"]) if wanted.get("strict") is True else None
    if broken is not None:
        raise invalid(f"Invalid schema for response_format '{wanted['name']}': {broken}", param="response_format")


def check_functions(body: Mapping[str, Any]) -> None:
    """Functions are not too many, have names, and schemas that are strict if they say so.

    Raises:
        Refusal: 400.
    """
    tools: list[Any] = body.get("tools") or []
    if len(tools) > _MOST_TOOLS:
        raise invalid(
            f"Invalid 'tools': array too long. Expected an array with maximum length {_MOST_TOOLS}, but got an array "
            f"with length {len(tools)} instead.",
            param="tools",
        )
    for index, tool in enumerate(tools):
        function = tool["function"]
        _check_name(function["name"], f"tools[{index}].function.name")
        broken = broken_rule(function.get("parameters", {})) if function.get("strict") is True else None
        if broken is not None:
            raise invalid(
                f"Invalid schema for function '{function['name']}': {broken}",
                param=f"tools[{index}].function.parameters",
                code="invalid_function_parameters",
            )


def _check_name(name: Any, where: str) -> None:
    if name is None:
        raise invalid(f"Missing required parameter: '{where}'.", param=where)
    if not isinstance(name, str):
        raise invalid(f"Invalid type for '{where}': expected a string.", param=where)
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern "
            f"'^{_NAME.pattern}$'.",
            param=where,
        )
    if len(name) > _LONGEST:
        raise invalid(
            f"Invalid '{where}': string too long. Expected a string with maximum length {_LONGEST}, but got a string "
            f"with length {len(name)} instead.",
            param=where,
        )
