"""A local server that speaks the API, for programs and tests that need no model.

It never pretends to be a model: the ``model`` of its answers is ``emulator/<name asked for>``, and the text comes from
a script, or echoes the last user message.

`Latency` and `RateLimit` make it as slow and as busy as a deployment; with ``upstream=`` another server answers instead
of the script.

`FaultServer` is a second server, which misbehaves in every way that `FAULTS` lists.
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
