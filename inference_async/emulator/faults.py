"""The catalogue: every way in which a server, a gateway or a network can misbehave towards a chat client, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType
from typing import Final

from ..errors import ConfigurationError
from .behaviour import FINE, Fault
from .miscarried import CODINGS, CONNECTIONS, CUTS, FRAMINGS, HEADS, REUSES, SILENCES, SIZES
from .misworded import CONTENTS, ENDINGS, EVENTS, JSON
from .refused import REDIRECTS, RETRIES, STATUSES

__all__ = ["FAULTS", "fault"]

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            FINE,
            *(*CONNECTIONS, *HEADS, *FRAMINGS, *CUTS, *SILENCES, *ENDINGS, *EVENTS, *CONTENTS, *JSON, *CODINGS, *SIZES),
            *(*STATUSES, *RETRIES, *REDIRECTS, *REUSES),
        )
    }
)
"""Every fault by its name, in the order of the catalogue."""


def fault(names: str) -> Fault:
    """The fault of a name, or of several names joined by ``+``, such as ``gzip+cut-in-chunk+until-close``.

    Raises:
        ConfigurationError: there is no such fault, or two of them cannot be seen together.
    """
    return reduce(Fault.__add__, map(_named, names.split("+")))


def _named(name: str) -> Fault:
    found = FAULTS.get(name.strip())
    if found is None:
        near = difflib.get_close_matches(name, FAULTS, 1)
        nearest = f"; the nearest is {near[0]!r}" if near else ""
        raise ConfigurationError(
            f"got {name[:80]!r}, expected the name of a fault{nearest}; `inference-async faults` lists them"
        )
    return found
