"""Values as they are written on a command line: ``first=400ms,token=25ms``."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ..errors import ConfigurationError

__all__ = ["pairs", "seconds_of", "share_of", "whole_of"]

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)", re.ASCII)
_PERCENTAGE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,12}", re.ASCII)


def pairs(text: str, names: Collection[str], example: str) -> dict[str, str]:
    """The values of ``name=value,name=value``.

    Args:
        text: see above.
        names: those that may be there.
        example: what was expected, for the message.

    Raises:
        ConfigurationError: the text is of another form, or has another name, or one of them twice.
    """
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in names or name in found:
            raise ConfigurationError(f"got {pair.strip()[:40]!r}, expected the form {example}, each name at most once")
        found[name] = value
    return found


def seconds_of(text: str) -> float:
    """A duration such as ``25ms`` or ``1.5s``, in seconds.

    Raises:
        ConfigurationError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"got {text[:40]!r}, expected a duration with its unit, such as 25ms or 1.5s")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def share_of(text: str) -> float:
    """A percentage such as ``20%``, as a share of 1.

    Raises:
        ConfigurationError: it is none.
    """
    found = _PERCENTAGE.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"got {text[:40]!r}, expected a percentage, such as 20%")
    return float(found[1]) / 100


def whole_of(text: str) -> int:
    """A whole number such as ``10000``.

    Raises:
        ConfigurationError: it is none.
    """
    if _WHOLE.fullmatch(text.strip()) is None:
        raise ConfigurationError(f"got {text[:40]!r}, expected a whole number, such as 10000")
    return int(text)
