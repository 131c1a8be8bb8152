"""A local server that speaks the API, for programs and tests that need no model.

It never pretends to be one: the ``model`` of its answers is ``emulator/<name asked for>``, and what it says comes from
a script, or is the last user message said back.
"""

from .script import Answer, Match, Rule, Script
from .server import Emulator

__all__ = ["Answer", "Emulator", "Match", "Rule", "Script"]
