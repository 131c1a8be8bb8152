"""A typed function as a tool: its signature becomes the schema the model sees, and the judge of what the model sends.

Everything is found out when the tool is made, so that a function no model can call fails at import, not in a run.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, Generic, ParamSpec, TypeGuard, TypeVar, get_type_hints, overload

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import ConfigurationError
from ..net.threads import Limiter, in_thread, is_async
from ..structured import Mismatch, decoder_of, schema_of
from ..types import FunctionDefinition, ToolDefinition
from ..wire.codec import check_json
from .hints import described, is_pydantic_field, without_pydantic_fields

__all__ = ["Tool", "check_seconds", "is_tool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIADIC: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_IMMUTABLE: Final = (type(None), bool, int, float, str)

# The places in a docstring where parameters are described: Google's and NumPy's sections, reST's fields.
_SECTION: Final = re.compile(
    r"^(?:Args|Arguments|Keyword Arg(?:ument)?s|(?:Other )?Param(?:eter)?s)(?P<google>:)?[ \t]*\n(?:-{3,}[ \t]*\n)?",
    re.MULTILINE,
)
_SECTION_END: Final = {"google": re.compile(r"^\S", re.MULTILINE), "numpy": re.compile(r"^.*\n-{3,}", re.MULTILINE)}
_ENTRY: Final = re.compile(
    r"^([\w*]+(?:[ \t]*,[ \t]*[\w*]+)*)[ \t]*(?:\(.*?\))?[ \t]*:[ \t]*(.*)((?:\n[ \t]+.*)*)", re.MULTILINE
)
_FIELD: Final = re.compile(r"^:param\b[^:\n]*?(\w+):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


class Tool(Generic[P, R]):
    """A function that a model may call; made by `tool`. Called from Python, it is the function.

    Attributes:
        name: what the model calls it.
        definition: what the request offers to the model.
        timeout: the most seconds one call in a run may take; None for no limit, UNSET for the run's own.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None,
        description: str | None,
        strict: bool,
        timeout: float | UnsetType | None,
    ) -> None:
        core = _core(function)
        _check_kind(core)
        functools.update_wrapper(self, core)
        self.__wrapped__ = function  # whose signature is that of the tool: of a partial, what is left of it
        self._function = function
        self.name = name if name is not None else core.__name__
        self.timeout = timeout
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"got the tool name {self.name!r}, expected 1 to 64 of A-Z a-z 0-9 _ -; give one with tool(name=...)"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"got the generator {self.name!r} as a tool, expected a function that returns")
        if not isinstance(timeout, UnsetType):
            check_seconds(f"timeout of the tool {self.name!r}", timeout)
        arguments, documented = _arguments_of(function, self.name, strict=strict)
        self._decode = decoder_of(arguments)
        says = documented if description is None else description
        # Left out, `parameters` means none, which all hosts read the same way; an empty object they do not.
        has_parameters = strict or bool(arguments.__struct_fields__)
        self.definition = ToolDefinition(
            FunctionDefinition(
                name=self.name,
                description=says or UNSET,
                parameters=schema_of(arguments, strict=strict) if has_parameters else UNSET,
                strict=True if strict else UNSET,
            )
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function itself."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def parse(self, arguments: str) -> dict[str, Any]:
        """What a model wrote, as keyword arguments of the function: converted, checked, defaults filled in.

        Args:
            arguments: JSON text; empty text counts as an empty object, and 1.0 as an int, as JSON Schema has it.

        Raises:
            Mismatch: it is no JSON, or does not fit the parameters; a ValueError.
        """
        text = arguments if arguments.strip() else "{}"
        try:
            values = self._decode(text)
        except Mismatch as error:
            whole = _with_whole_numbers(text) if error.position.startswith("$") else None
            if whole is None:
                raise
            values = self._decode(whole)
        return {name: getattr(values, name) for name in values.__struct_fields__}

    @property
    def is_async(self) -> bool:
        """Whether calls run in the event loop, where they can be cancelled; if not, they run in worker threads."""
        return is_async(self._function)

    async def invoke(self, arguments: Mapping[str, Any], *, threads: Limiter | None = None) -> Any:
        """Call the function with parsed arguments: in this task if it is async, else in a worker thread.

        Args:
            arguments: as `parse` returns them.
            threads: bounds the threads in use; left out, anyio's own bound of 40 holds.

        Raises whatever the function raises. Cancelling it cancels an async function; a thread cannot be stopped, so
        it runs on, and its result is dropped. Context variables of the caller are visible in both.
        """
        function: Callable[..., Any] = self._function
        if self.is_async:
            return await function(**arguments)
        return await in_thread(functools.partial(function, **arguments), limiter=threads)

    async def run(self, arguments: str) -> Any:
        """Parse what a model wrote, and call the function with it; see `parse` and `invoke`.

        Raises:
            Mismatch: the arguments do not fit; the function was not called.
        """
        return await self.invoke(self.parse(arguments))


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = False,
    timeout: float | UnsetType | None = UNSET,
) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = False,
    timeout: float | UnsetType | None = UNSET,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    strict: bool = False,
    timeout: float | UnsetType | None = UNSET,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a typed function, sync or async, a tool: ``@tool``, ``@tool(...)``, or ``tool(obj.method)``.

    ::

        @tool
        async def weather(city: str, days: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1) -> Forecast:
            \"\"\"Looks up the weather.

            :param city: name of the city, in English.
            :param days: how many days ahead.
            \"\"\"

    The annotations are the schema, and what the model sends is converted to them: Structs, dataclasses, enums,
    Literals, dates and whatever else msgspec decodes. A parameter is described by ``Annotated[str, "the city"]``, by
    ``msgspec.Meta(description=...)``, or in the docstring: in an ``Args:`` section, NumPy's ``Parameters``, or
    ``:param city:``. A ``pydantic.Field(...)`` in an ``Annotated`` counts as the ``msgspec.Meta`` of the same bounds.
    A default of None lets the model say null. A sync function is run in a worker thread.

    Args:
        function: the function, a bound method, or a ``functools.partial`` of one: what it binds, the model never sees.
        name: what the model calls it; the function's name unless said otherwise.
        description: what it does and when to call it; the first paragraph of the docstring unless said otherwise.
        strict: ask the service that arguments follow the schema exactly; not every host knows it.
        timeout: the most seconds one call in a run may take; None for no limit; the run's limit unless said otherwise.

    Raises:
        ConfigurationError: a name that no service takes, or a parameter that no model can give: without annotation,
            positional-only, ``*args`` or ``**kwargs``, named ``__so``, or of a type that has no JSON Schema.
    """

    def made(function: Callable[P, R]) -> Tool[P, R]:
        return Tool(function, name=name, description=description, strict=strict, timeout=timeout)

    return made if function is None else made(function)


def is_tool(value: object) -> TypeGuard[Tool[..., Any]]:
    """Whether a value is a tool already."""
    return isinstance(value, Tool)


def check_seconds(what: str, seconds: object) -> None:
    """Refuse what is no time limit.

    Raises:
        ConfigurationError: neither None nor a number above 0.
    """
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise ConfigurationError(f"got {seconds!r} as the {what}, expected seconds above 0, or None for no limit")


def _core(function: Callable[..., Any]) -> Any:
    """The function itself, from within partials of it."""
    core: Any = function
    while isinstance(core, functools.partial):
        core = core.func
    return core


def _check_kind(core: object) -> None:
    if not callable(core) or isinstance(core, type) or is_tool(core):
        raise ConfigurationError(f"got a tool of type {type(core).__name__}, expected a function or a method")
    if not hasattr(core, "__name__"):
        raise ConfigurationError(
            f"got a tool of type {type(core).__name__}, which is callable but has no name, expected a function or a "
            "method; use tool(obj.__call__, name=...)"
        )


def _arguments_of(function: Callable[..., Any], name: str, *, strict: bool) -> tuple[type[msgspec.Struct], str]:
    """The parameters as a Struct, and what the docstring says of the function."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise ConfigurationError(
            f"got the tool {name!r} without a signature: {error}; wrap it in a function"
        ) from error
    core = _core(function)
    summary, said = _read_docstring(inspect.getdoc(core) or "", parameters.keys())
    namespace: dict[str, Any] = getattr(inspect.unwrap(core), "__globals__", {})
    bound: Mapping[str, Any] = function.keywords if isinstance(function, functools.partial) else {}
    fields: list[tuple[str, Any, Any]] = []
    for parameter in parameters.values():
        if parameter.name in bound:
            continue
        place = f"the parameter {parameter.name!r} of the tool {name!r}"
        if parameter.name.startswith("__"):
            raise ConfigurationError(f"got {place}, expected a name that does not begin with two underscores")
        if parameter.kind in _VARIADIC:
            raise ConfigurationError(
                f"got {place} as {parameter.kind.description}, expected one that can be given by name: a model sends "
                "an object of named arguments"
            )
        if parameter.annotation is parameter.empty:
            method = "; for a method, use tool(obj.method)" if parameter.name in ("self", "cls") else ""
            raise ConfigurationError(
                f"got {place} without an annotation, expected one such as {parameter.name}: str{method}"
            )
        if is_pydantic_field(parameter.default):
            raise ConfigurationError(
                f"got {place} with a pydantic Field as its default, expected it in the annotation: Annotated[..., "
                "Field(...)]"
            )
        hint = without_pydantic_fields(_resolved(parameter.annotation, namespace, place), place)
        hint = described(hint, said.get(parameter.name), or_none=parameter.default is None)
        try:
            schema_of(hint, strict=strict)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"got {place} of a type that a model cannot be asked for: {error}; annotate it with plain types, "
                "Structs or dataclasses, or bind it with functools.partial"
            ) from error
        fields.append((parameter.name, hint, _default(parameter)))
    struct = msgspec.defstruct(name.replace("-", "_"), fields, kw_only=True, forbid_unknown_fields=True)
    return struct, summary


def _resolved(annotation: Any, namespace: dict[str, Any], place: str) -> Any:
    """An annotation that may be text, as a type. Each on its own: the return type need not exist when we look."""
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, namespace, include_extras=True)["it"]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"got {place} with the annotation {annotation!r}, which cannot be resolved: {error}; import or define the "
            "type at the top of the module, not in a TYPE_CHECKING block or a function"
        ) from error


def _default(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is parameter.empty:
        return msgspec.NODEFAULT
    if isinstance(default, _IMMUTABLE):
        return msgspec.field(default=default)
    return msgspec.field(default_factory=lambda: default)  # the very object, as Python itself would hand it over


def _with_whole_numbers(text: str) -> str | None:
    """JSON text with 1.0 written as 1, which is the same number in JSON but no int in Python; None for no JSON."""

    def number(literal: str) -> int | float:
        value = float(literal)
        return int(value) if value.is_integer() else value

    try:
        check_json(text.encode())
        return json.dumps(json.loads(text, parse_float=number))
    except (ValueError, RecursionError):
        return None


def _read_docstring(doc: str, names: Any) -> tuple[str, dict[str, str]]:
    """The first paragraph, and what is said of each parameter."""
    said = {found[1]: found[2] for found in _FIELD.finditer(doc)}
    first_field = _FIELD.search(doc)
    end = first_field.start() if first_field else len(doc)
    for section in _SECTION.finditer(doc):
        end = min(end, section.start())
        body = doc[section.end() :]
        stop = _SECTION_END["google" if section["google"] else "numpy"].search(body)
        for found in _ENTRY.finditer(textwrap.dedent(body[: stop.start()] if stop else body)):
            # In NumPy's style the type stands behind the colon, and the words below it.
            text = (found[2] if section["google"] else "") + found[3]
            said |= {name.strip(" \t*"): text for name in found[1].split(",")}
    summary = doc[:end].strip().split("\n\n")[0]
    return _one_line(summary), {name: _one_line(text) for name, text in said.items() if name in names and text.strip()}


def _one_line(text: str) -> str:
    return " ".join(text.split())
