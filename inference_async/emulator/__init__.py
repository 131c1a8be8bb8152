"""A local server that speaks the API, for programs and tests that need no model.

It never pretends to be one: the ``model`` of its answers is ``emulator/<name asked for>``, and what it says comes from
a script, or is the last user message said back.

Beside it stands a server that misbehaves: `FaultServer`, in every way that `FAULTS` lists.
"""

from .behaviour import Fault
from .bodies import Asked
from .faults import FAULTS, fault
from .faulty import FaultServer, refusing
from .script import Answer, Match, Rule, Script
from .server import Emulator

__all__ = [
    "FAULTS",
    "Answer",
    "Asked",
    "Emulator",
    "Fault",
    "FaultServer",
    "Match",
    "Rule",
    "Script",
    "fault",
    "refusing",
]
