"""What griffe is told of msgspec: the fields of a Struct are the arguments of its constructor, as in a dataclass."""

from __future__ import annotations

from typing import Any

import griffe


class Structs(griffe.Extension):
    """Gives each Struct the `__init__` that msgspec makes when the class is made, for the reference to show."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look through the whole package, once all of it is there."""
        self._look_through(pkg)

    def _look_through(self, parent: griffe.Module | griffe.Class) -> None:
        for member in list(parent.members.values()):
            if isinstance(member, griffe.Module | griffe.Class):
                self._look_through(member)
        if isinstance(parent, griffe.Class) and "__init__" not in parent.members and _is_struct(parent):
            self_ = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
            init = griffe.Function("__init__", parameters=griffe.Parameters(self_, *_fields(parent)), parent=parent)
            parent.set_member("__init__", init)


def _is_struct(cls: griffe.Class) -> bool:
    names = {str(getattr(base, "canonical_path", base)) for base in cls.bases}
    return "msgspec.Struct" in names or any(_is_struct(base) for base in _bases(cls))


def _bases(cls: griffe.Class) -> list[griffe.Class]:
    found = [base.final_target if isinstance(base, griffe.Alias) else base for base in cls.resolved_bases]
    return [base for base in found if isinstance(base, griffe.Class)]


def _fields(cls: griffe.Class) -> list[griffe.Parameter]:
    by_name = {field.name: field for base in reversed(_bases(cls)) for field in _fields(base)}
    keyword_only = str(cls.keywords.get("kw_only", False)) == "True"
    kind = griffe.ParameterKind.keyword_only if keyword_only else griffe.ParameterKind.positional_or_keyword
    for name, member in cls.members.items():
        if not isinstance(member, griffe.Attribute) or member.annotation is None or "property" in member.labels:
            continue
        if name == "unknown_fields" or "instance-attribute" not in member.labels:
            continue  # those are what a decoder did not know, and these are of the class
        by_name[name] = griffe.Parameter(name, annotation=member.annotation, kind=kind, default=_default(member.value))
    return sorted(by_name.values(), key=lambda field: field.kind is griffe.ParameterKind.keyword_only)


def _default(value: Any) -> Any:
    if not isinstance(value, griffe.ExprCall) or value.canonical_path not in ("msgspec.field", "field"):
        return value
    given = {argument.name: argument.value for argument in value.arguments if isinstance(argument, griffe.ExprKeyword)}
    return f"{given['default_factory']}()" if "default_factory" in given else given.get("default")
