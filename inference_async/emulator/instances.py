"""A value that a JSON Schema asks for: always the same one for the same schema.

Where a schema leaves a choice, the first thing that fits is taken: `const`, then `enum`, then a `default` or an example
that fits; the first branch that can be ended; every property that can be had; one item where there may be none. A
recursive type is entered once: inside itself it is ended by the shortest way out, another branch, an empty array, an
optional property left out.

Not every schema that something fits is solved: then the refusal says what stood in the way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from ..types.base import is_array, is_object
from .effort import MOST_STEPS, Effort, SpentError
from .patterns import texts_for
from .schemas import Schema, check_keywords, exact, fits, merged, number_fits, resolved

__all__ = ["instance_of"]

_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "iri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/a",
    "regex": ".*",
    "byte": "YQ==",
}
_KEYWORDS: Final = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)
_EDGES: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LONGER: Final = frozenset({"uri", "iri", "uri-reference", "json-pointer"})
"""Formats that take any number of letters at the end."""

_MOST_TRIES: Final = 100
_COST: Final = 4  # steps for a value: it takes about as long as so many checks
_MOST_MADE: Final = 10_000  # characters of a text, items of an array


class _EndlessError(ValueError):
    """The type is inside itself here: another way must be taken."""


def instance_of(schema: Schema, *, name: str = "text", effort: Effort | None = None) -> Any:
    """A value that fits the schema.

    Args:
        schema: a JSON Schema; the keywords known are those of `schemas`, and ``format``.
        name: what a text says where the schema does not care; in an object, each text says its property's name.
        effort: what may be spent on it, if several schemas share that.

    Raises:
        ValueError: no value was found; the message names the reason.
    """
    effort = effort or Effort(MOST_STEPS)
    try:
        return _made(schema, name, effort)
    except (TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise ValueError(f"got what is no schema: {type(error).__name__}") from None


def _made(schema: Schema, name: str, effort: Effort) -> Any:
    """With all that may be there on half of the effort, else with what must be there on the rest."""
    reason = "nothing fits it"
    for everything in (True, False):
        share = effort.left // 2 if everything else effort.left
        part = Effort(share)
        try:
            value = _Maker(schema, part, everything=everything).value(schema, name, frozenset())
            if fits(value, schema, schema, part):
                return value
        except (ValueError, SpentError) as error:
            reason = str(error)
        finally:
            effort.left -= share - part.left
    raise ValueError(reason)


class _Maker:
    """Makes a value, depth first.

    Args:
        root: the document that references point into.
        effort: what may be spent.
        everything: with the properties that need not be there.
    """

    def __init__(self, root: Schema, effort: Effort, *, everything: bool) -> None:
        self._root = root
        self._effort = effort
        self._everything = everything

    def value(self, schema: Schema, name: str, inside: frozenset[str]) -> Any:
        """The first value that fits; `inside` are the references that are being followed.

        Raises:
            ValueError: there is none that it finds.
            SpentError: it took too many steps.
        """
        self._effort.spend(_COST)
        if schema is True:
            return name
        if not is_object(schema):
            raise ValueError("nothing fits a part of the schema")
        check_keywords(schema)
        problem = ValueError(_nothing_fits(schema))
        for branch, entered in self._branches(schema, inside):
            try:
                for value in self._values(branch, name, entered):
                    if fits(value, schema, self._root, self._effort):
                        return value
            except ValueError as error:
                problem = error
        raise problem

    def _branches(self, schema: dict[str, Any], inside: frozenset[str]) -> Iterator[tuple[Schema, frozenset[str]]]:
        """The schema without references, alternatives and conjunctions, once for each alternative.

        Conjunctions come last: `merged` leaves what it cannot join, a second set of alternatives, in one.
        """
        if "$ref" in schema:
            ref: str = schema["$ref"]
            if ref in inside:
                raise _EndlessError(f"the type {ref} is inside itself, and there is no way out")
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            yield from self._parts(merged(rest, resolved(ref, self._root), self._effort), inside | {ref})
        elif "anyOf" in schema or "oneOf" in schema:
            kind = "anyOf" if "anyOf" in schema else "oneOf"
            rest = {key: value for key, value in schema.items() if key != kind}
            for part in schema[kind]:
                try:
                    yield from self._parts(merged(rest, part, self._effort), inside)
                except _EndlessError:
                    continue
        elif "allOf" in schema:
            whole: Schema = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                whole = merged(whole, part, self._effort)
            yield from self._parts(whole, inside)
        else:
            yield schema, inside

    def _parts(self, schema: Schema, inside: frozenset[str]) -> Iterator[tuple[Schema, frozenset[str]]]:
        if is_object(schema):
            self._effort.spend(len(schema) + len(schema.get("properties", ())))
            check_keywords(schema)
            yield from self._branches(schema, inside)
        else:
            yield schema, inside

    def _values(self, schema: Schema, name: str, inside: frozenset[str]) -> Iterator[Any]:
        """What may fit, the likeliest first."""
        if not is_object(schema):
            yield self.value(schema, name, inside)
            return
        if "const" in schema:
            yield schema["const"]
            return
        if "enum" in schema:
            yield from schema["enum"]
            return
        if "default" in schema:
            yield schema["default"]
        examples = schema.get("examples")
        yield from examples if is_array(examples) else []
        types = schema.get("type", _types_meant(schema))
        problem: ValueError | None = None
        for kind in [types] if isinstance(types, str) else sorted(types, key="null".__eq__):
            try:
                yield from self._of_type(kind, schema, name, inside)
            except ValueError as error:
                problem = error
        if problem is not None:
            raise problem

    def _of_type(self, kind: str, schema: dict[str, Any], name: str, inside: frozenset[str]) -> Iterator[Any]:
        if kind == "object":
            yield self._object(schema, inside)
        elif kind == "array":
            yield self._array(schema, name, inside)
        elif kind == "string":
            yield from _texts(schema, name, self._effort)
        elif kind in ("integer", "number"):
            yield from _numbers(schema, whole=kind == "integer")
        elif kind == "boolean":
            yield from (True, False)
        elif kind == "null":
            yield None
        else:
            raise ValueError(f"got the type {kind!r}, which JSON does not have")

    def _object(self, schema: dict[str, Any], inside: frozenset[str]) -> dict[str, Any]:
        properties: dict[str, Schema] = schema.get("properties", {})
        required: dict[str, None] = dict.fromkeys(schema.get("required", []))
        further: Schema = schema.get("additionalProperties", True)
        made: dict[str, Any] = {}
        for name, part in properties.items():
            if name in required:
                made[name] = self.value(part, name, inside)
            elif self._everything and len(made) < schema.get("maxProperties", math.inf):
                try:
                    made[name] = self.value(part, name, inside)
                except ValueError:
                    continue
        for name in required:
            if name not in made:
                made[name] = self.value(further, name, inside)
        optional = [name for name in made if name not in required]
        while len(made) > schema.get("maxProperties", math.inf) and optional:
            del made[optional.pop()]
        for name, part in properties.items():
            if len(made) < schema.get("minProperties", 0) and name not in made:
                made[name] = self.value(part, name, inside)
        for number in range(schema.get("minProperties", 0) - len(made)):
            made[f"key{number + 1}"] = self.value(further, f"key{number + 1}", inside)
        return made

    def _array(self, schema: dict[str, Any], name: str, inside: frozenset[str]) -> list[Any]:
        first: list[Schema] = schema.get("prefixItems", [])
        rest: Schema = schema.get("items", True)
        low: int = schema.get("minItems", 0)
        high: float = schema.get("maxItems", math.inf)
        if low > _MOST_MADE:
            raise ValueError("the schema asks for too much")
        wanted = min(max(low, len(first), 1 if "items" in schema else 0), high)
        made: list[Any] = []
        unique = bool(schema.get("uniqueItems"))
        while len(made) < wanted:
            part = first[len(made)] if len(made) < len(first) else rest
            try:
                made.append(self._another(part, name, made, inside) if unique else self.value(part, name, inside))
            except ValueError:
                if len(made) >= low:
                    break
                raise
        return made

    def _another(self, schema: Schema, name: str, made: list[Any], inside: frozenset[str]) -> Any:
        """A value that is not among those made."""
        if not made:
            return self.value(schema, name, inside)
        return self.value(merged(schema, {"not": {"enum": list(made)}}, self._effort), f"{name}{len(made) + 1}", inside)


def _types_meant(schema: Mapping[str, Any]) -> list[str]:
    """What a schema without a type may be, the likeliest first."""
    meant = [kind for kind, keys in _KEYWORDS if any(key in schema for key in keys)]
    return [
        *meant,
        *(kind for kind in ("string", "integer", "boolean", "object", "array", "null") if kind not in meant),
    ]


def _nothing_fits(schema: Mapping[str, Any]) -> str:
    names = ", ".join(repr(name) for name in schema)
    return f"nothing fits a part of the schema, which has {names}"


def _forbidden(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a schema says with ``not``, and the alternatives in that."""
    negated = schema.get("not")
    if is_object(negated):
        yield negated
        yield from (part for kind in ("anyOf", "oneOf", "allOf") for part in negated.get(kind, []) if is_object(part))


def _texts(schema: Mapping[str, Any], name: str, effort: Effort) -> Iterator[str]:
    low: int = schema.get("minLength", 0)
    high: int | None = schema.get("maxLength")
    if low > _MOST_MADE:
        raise ValueError("the schema asks for too much")
    known = _FORMATS.get(schema.get("format", ""))
    if known is not None:
        yield known.ljust(low, "a") if schema["format"] in _LONGER else known
    if "pattern" in schema:
        found = False
        for text in texts_for(schema["pattern"], effort, at_least=low, at_most=high):
            found = True
            yield text
        if not found:
            raise ValueError(f"found no text for the pattern {schema['pattern']!r}")
        return
    if known is not None:
        return
    lengths = [part.get("maxLength", -1) + 1 for part in _forbidden(schema)]
    shorter = [part["minLength"] - 1 for part in _forbidden(schema) if "minLength" in part]
    for least in (low, *(max(length, low) for length in lengths if 0 < length <= _MOST_MADE)):
        text = name or "text"
        text += f" {text}" * -(-(least - len(text)) // (len(text) + 1))
        yield text if high is None else text[:high]
        yield from (text[:most] for most in shorter if most >= least)
    yield from (f"{name}{number}"[:high] for number in range(1, _MOST_TRIES) if "not" in schema)


def _numbers(schema: Mapping[str, Any], *, whole: bool) -> Iterator[float]:
    """Zero if it may be, else the nearest to it that may; then further ones."""
    low = _bound(schema, "minimum", "exclusiveMinimum", max)
    high = _bound(schema, "maximum", "exclusiveMaximum", min)
    step = exact(schema.get("multipleOf", 0))
    if whole:
        step = Fraction(step.numerator or 1)
    elif not step:
        step = Fraction(1, 2)
        if low is not None and high is not None and low < high:
            step = min(step, (high - low) / 4)
    first = 0
    if low is not None and low > 0:
        first = math.ceil(low / step)
    elif high is not None and high < 0:
        first = math.floor(high / step)
    direction = -1 if high is not None and high <= 0 else 1
    edges = [exact(part[key]) for part in _forbidden(schema) for key in _EDGES if key in part]
    tried = itertools.chain(
        [first * step],
        [low] if low is not None and not whole else [],
        ((first + at * direction) * step for at in range(1, _MOST_TRIES)),
        ((edge // step + at) * step for edge in edges for at in (0, 1, -1, 2)),
    )
    for value in tried:
        number = int(value) if value.denominator == 1 else float(value)
        if number_fits(number, schema):
            yield number


def _bound(schema: Mapping[str, Any], name: str, exclusive: str, tighter: Callable[..., Any]) -> Fraction | None:
    given = [exact(schema[key]) for key in (name, exclusive) if key in schema]
    return tighter(given) if given else None
