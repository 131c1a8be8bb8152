"""What content safety says, as data: of the prompt, of the answer, and of an error.

The service sends a map from category to result, under two spellings of one key, with categories that come and go and
results whose fields depend on the category. The map is kept as it was sent; `ContentFilterResults` is a view of it with
one shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from .base import is_array, is_mapping, is_object

__all__ = ["Citation", "ContentFilterResults", "FilterResult", "merged", "results_in"]

_SEVERITIES: Final = ("safe", "low", "medium", "high")
_KEYS: Final = ("content_filter_results", "content_filter_result")


class Citation(msgspec.Struct, frozen=True):
    """Where protected code was found.

    Attributes:
        url: the repository.
        license: its licence, as the service names it.
    """

    url: str | None = None
    license: str | None = None


class FilterResult(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """What content safety says of one category.

    Attributes:
        category: ``hate``, ``self_harm``, ``sexual``, ``violence``, ``jailbreak``, ``protected_material_text`` ... or
            one that is newer than this package.
        filtered: whether it was a reason to refuse or cut.
        detected: whether it was found at all; None for categories that have a severity instead.
        severity: ``safe``, ``low``, ``medium`` or ``high``; None for categories that are found or not.
        citation: for ``protected_material_code``.
        details: what lists name: the blocklists that matched, the places that are not grounded.
        raw: the result as the service sent it.
    """

    category: str
    filtered: bool = False
    detected: bool | None = None
    severity: str | None = None
    citation: Citation | None = None
    details: tuple[Any, ...] = ()
    raw: Any = None


class ContentFilterResults(Mapping[str, FilterResult]):
    """Category -> result; empty where content safety said nothing.

    Categories that this package does not know are there like the others. ``self-harm`` is found as ``self_harm``,
    however the service spelled it.
    """

    __slots__ = ("_results",)

    def __init__(self, results: Any = None) -> None:
        rows = merged({}, results) if is_mapping(results) else {}
        self._results = {name: _result(name, value) for name, value in rows.items()}

    @property
    def filtered(self) -> tuple[str, ...]:
        """The categories for which the text was refused or cut."""
        return tuple(name for name, result in self._results.items() if result.filtered)

    @property
    def detected(self) -> tuple[str, ...]:
        """The categories that were found: detected, filtered, or of a severity above ``safe``."""
        return tuple(
            name
            for name, result in self._results.items()
            if result.detected or result.filtered or result.severity not in (None, "safe")
        )

    @property
    def error(self) -> str | None:
        """Why content safety could not look; the text was then not filtered. None if it could."""
        result = self._results.get("error")
        if result is None or result.raw is None:
            return None
        raw = result.raw
        return str(raw.get("message") or raw.get("code") or "unknown") if is_object(raw) else str(raw)

    def __getitem__(self, category: str) -> FilterResult:
        return self._results[category]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._results!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ({name: result.raw for name, result in self._results.items()},)


def results_in(obj: Mapping[str, Any]) -> dict[str, Any] | None:
    """The map of results in an object, under either spelling of its key."""
    for key in _KEYS:
        found = obj.get(key)
        if is_object(found):
            return found
    return None


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two maps of results of one text: of each category the worse result stays, as sent, the later of two equals.

    One host spells ``self_harm`` with a dash.
    """
    out = dict(first)
    for name, result in second.items():
        category = str(name).replace("-", "_")
        if category not in out or _weight(result) >= _weight(out[category]):
            out[category] = result
    return out


def _weight(result: Any) -> tuple[bool, bool, int]:
    if is_array(result):  # the older shape of blocklists
        return _result("", result).filtered, False, 0
    if not is_object(result):
        return False, False, 0
    severity = result.get("severity")
    rank = _SEVERITIES.index(severity) if severity in _SEVERITIES else 0
    return bool(result.get("filtered")), bool(result.get("detected")), rank


def _result(category: str, raw: Any) -> FilterResult:
    if is_array(raw):  # the older shape of blocklists
        filtered = any(is_object(row) and bool(row.get("filtered")) for row in raw)
        return FilterResult(category=category, filtered=filtered, details=tuple(raw), raw=raw)
    if not is_object(raw):
        return FilterResult(category=category, raw=raw)
    detected, severity, details = raw.get("detected"), raw.get("severity"), raw.get("details")
    return FilterResult(
        category=category,
        filtered=bool(raw.get("filtered")),
        detected=detected if isinstance(detected, bool) else None,
        severity=severity if isinstance(severity, str) else None,
        citation=_citation(raw.get("citation")),
        details=tuple(details) if is_array(details) else (),
        raw=raw,
    )


def _citation(raw: Any) -> Citation | None:
    if not is_object(raw):
        return None
    url, licence = raw.get("URL", raw.get("url")), raw.get("license")
    return Citation(url if isinstance(url, str) else None, licence if isinstance(licence, str) else None)
