"""What the classes of messages and results have in common: a JSON object, read by attribute and by key.

One dict holds what goes over the wire, and an attribute is a view of one of its keys. So nothing is lost that has no
attribute: ``choice["logprobs"]`` is there if the service sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, overload

from ...types.base import is_array, is_mapping, is_object

__all__ = ["Field", "Model", "moment", "one_of", "plain"]

T = TypeVar("T")


class Field(Generic[T]):
    """An attribute that stands for the key of its name; None where the key is missing.

    Args:
        model: what an object, or each object of a list, under this key is.
        read: how the attribute shows what the key holds.
        constant: what is there unless something else is given.
        positional: whether it may be given without its name.
    """

    def __init__(
        self,
        model: type[Model] | None = None,
        *,
        read: Callable[[Any], Any] | None = None,
        constant: str | None = None,
        positional: bool = False,
    ) -> None:
        self.model = model
        self.constant = constant
        self.positional = positional
        self._read = read
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: Model, owner: type) -> T: ...

    def __get__(self, instance: Model | None, owner: type) -> Any:
        if instance is None:
            return self
        value = instance.get(self._name)
        return value if value is None or self._read is None else self._read(value)

    def __set__(self, instance: Model, value: T | None) -> None:
        if value is None:
            instance.pop(self._name, None)
        else:
            instance[self._name] = value


class Model(MutableMapping[str, Any]):
    """A JSON object with attributes for the documented keys.

    It is made of keywords, or of a mapping that is taken as it is; keywords that are None are left out.

    Raises:
        TypeError: a keyword that is no attribute of this class.
    """

    _fields: ClassVar[Mapping[str, Field[Any]]] = {}
    _constants: ClassVar[Mapping[str, str]] = {}
    _positional: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        own: dict[str, Field[Any]] = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        cls._fields = {**cls._fields, **own}
        cls._constants = {name: field.constant for name, field in cls._fields.items() if field.constant is not None}
        cls._positional = next((name for name, field in cls._fields.items() if field.positional), None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name, fields = type(self).__name__, self._fields
        if len(args) > 1:
            raise TypeError(f"{name} takes one positional argument at most, got {len(args)}")
        given: dict[str, Any] = dict(self._constants)
        for value in args:
            if is_mapping(value):
                given.update(value)
            elif self._positional is None or self._positional in kwargs:
                raise TypeError(f"{name} got a positional argument of type {type(value).__name__}, expected a mapping")
            else:
                kwargs[self._positional] = value
        for key, value in kwargs.items():
            if key not in fields:
                raise TypeError(f"{name} got an unexpected keyword argument {key!r}")
            if value is not None:
                given[key] = value
        self._data: dict[str, Any] = {}
        for key, value in given.items():
            self[key] = value

    def as_dict(self, *, exclude_readonly: bool = False) -> dict[str, Any]:
        """Plain dicts and lists, fit for `json.dumps`; no key is read-only."""
        return cast("dict[str, Any]", plain(self))

    def copy(self) -> Self:
        """Another one with the same values."""
        return type(self)(self._data)

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        field = self._fields.get(key)
        self._data[key] = _held(value, field.model if field is not None else None)

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return repr(self._data)


def plain(value: Any) -> Any:
    """A value of a program's as JSON has it."""
    if is_mapping(value):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("list[Any]", value)]
    return value.value if isinstance(value, Enum) else value


def one_of(kind: type[Enum]) -> Callable[[Any], Any]:
    """Shows the member for a value; a value that the service has added since is shown as it is."""

    def read(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError:
            return value

    return read


def moment(seconds: float) -> datetime:
    """Unix seconds as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _held(value: Any, model: type[Model] | None) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return int(value.timestamp())
    if model is not None and is_object(value):
        return model(value)
    if model is not None and is_array(value) and any(is_object(item) for item in value):
        return [model(item) if is_object(item) else item for item in value]
    return value
