"""What a message advises a program to do, in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..net.auth import SEE_CAUSE

__all__ = ["OF_CHAT", "OF_ENDPOINTS", "on_the_command_line"]

OF_CHAT: Final[Mapping[str, str]] = {"timeout 'total'": "--timeout"}
"""What `chat` has an option for."""

OF_ENDPOINTS: Final[Mapping[str, str]] = {
    'pass a key, an azure-identity credential or "default", or set': "pass --entra, or set",
    "say dialect=": "pass --dialect",
    "dialect=": "--dialect ",
    "scope=": "--scope ",
    "key_header=": "--key-header ",
}
"""What `doctor` and `conformance` have options for."""

_EVERYWHERE: Final[Mapping[str, str]] = {
    "name the deployment with model=, for the call or for the client": "name the deployment with --model",
    'pass a key, an azure-identity credential or "default", or set': "set",
    "pass one as credential=": "set the key of this endpoint",
    "pass the key as credential=": "set the key in the environment",
    " (or say dialect= if this is another kind)": "",
    ", or dialect='generic'": "",
    ", or say allow_insecure=True for the client": "",
    "make the client with ssl=ssl.create_default_context(cafile=...)": "set SSL_CERT_FILE to its certificate's file",
    "above max_retry_after (": "above the most that is waited (",
    "; what had arrived is in .partial": "",
    "; max_bytes= sets the bound": "",
    SEE_CAUSE: "; `inference-async doctor --call` says more",
}
_BOUND: Final = re.compile(r"; raise max_\w+ if it is meant to(?: be)?")


def on_the_command_line(text: str, options: Mapping[str, str]) -> str:
    """A message of the library, fit for somebody who has a command line and no program.

    Args:
        text: the message.
        options: what the command has options for: the words of the library, and those of the command line.
    """
    for ours, theirs in (*options.items(), *_EVERYWHERE.items()):
        text = text.replace(ours, theirs)
    return _BOUND.sub("", text)
