"""What a run offers to the model, sorted by who answers the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from ..errors import ConfigurationError
from ..types import ToolDefinition
from ..types.base import is_mapping
from .definition import Tool, is_tool, tool

__all__ = ["Offer", "ToolLike"]

ToolLike: TypeAlias = Callable[..., Any] | ToolDefinition | Mapping[str, Any]
"""A tool, a typed function to make one of, or a definition whose calls the caller answers."""


class Offer:
    """The tools of a run.

    Attributes:
        definitions: what goes out, in the order given.
        tools: those that can be run, by name.
        open: the names of those whose calls are left to the caller.

    Raises:
        ConfigurationError: something that is no tool, or two tools of one name.
    """

    def __init__(self, tools: Iterable[ToolLike]) -> None:
        self.definitions: list[ToolDefinition | Mapping[str, Any]] = []
        self.tools: dict[str, Tool[..., Any]] = {}
        self.open: set[str] = set()
        kind: type = type(tools)
        if issubclass(kind, str | Mapping) or not issubclass(kind, Iterable):
            raise ConfigurationError(f"got tools of type {kind.__name__}, expected a list of tools")
        for each in tools:
            self._add(each)

    @property
    def names(self) -> list[str]:
        """The names that a model may call."""
        return [*self.tools, *sorted(self.open - {""})]

    def _add(self, given: ToolLike) -> None:
        if isinstance(given, ToolDefinition) or is_mapping(given):
            name = _name_in(given)
            self._check_new(name)
            self.definitions.append(given)
            self.open.add(name)
        else:
            made = given if is_tool(given) else tool(cast("Callable[..., Any]", given))
            self._check_new(made.name)
            self.definitions.append(made.definition)
            self.tools[made.name] = made

    def _check_new(self, name: str) -> None:
        if name and (name in self.tools or name in self.open):
            raise ConfigurationError(f"got two tools of the name {name!r}; give one another with tool(name=...)")


def _name_in(definition: ToolDefinition | Mapping[str, Any]) -> str:
    """The name of the function defined; empty where something else is, whose calls name no function either."""
    if isinstance(definition, ToolDefinition):
        return definition.function.name
    function: object = definition.get("function")
    name: object = function.get("name") if is_mapping(function) else getattr(function, "name", None)
    return name if isinstance(name, str) else ""
