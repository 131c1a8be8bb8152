"""A local server that speaks the API, for programs and tests that need no model.

It never pretends to be one: the ``model`` of its answers is ``emulator/<name asked for>``, and what it says comes from
a script, or is the last user message said back.

`Latency` and `RateLimit` make it as slow and as busy as a deployment is; with ``upstream=`` another server answers in
place of the script.

Beside it stands a server that misbehaves: `FaultServer`, in every way that `FAULTS` lists.
"""

from .behaviour import Fault
from .bodies import Asked
from .faults import FAULTS, fault
from .faulty import FaultServer, refusing
from .latency import Latency
from .limits import RateLimit
from .script import Answer, Match, Rule, Script
from .server import Emulator
from .tally import Status

__all__ = [
    "FAULTS",
    "Answer",
    "Asked",
    "Emulator",
    "Fault",
    "FaultServer",
    "Latency",
    "Match",
    "RateLimit",
    "Rule",
    "Script",
    "Status",
    "fault",
    "refusing",
]
