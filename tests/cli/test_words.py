"""The words of the library, in those of the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from inference_async.cli import words
from inference_async.cli.words import OF_CHAT, OF_ENDPOINTS, on_the_command_line
from inference_async.net.auth import SEE_CAUSE
from tests.test_walls import PACKAGE


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("m; name the deployment with model=, for the call or for the client", "m; name the deployment with --model"),
        (
            "m; no credential was sent: pass one as credential=",
            "m; no credential was sent: set the key of this endpoint",
        ),
        (
            'no credential for h: pass a key, an azure-identity credential or "default", or set X (a key that',
            "no credential for h: set X (a key that",
        ),
        ("got a name in it; pass the key as credential=", "got a name in it; set the key in the environment"),
        ("expected one of a, b (or say dialect= if this is another kind)", "expected one of a, b"),
        ("expected x/openai/v1, or dialect='generic'", "expected x/openai/v1"),
        ("use https, or say allow_insecure=True for the client", "use https"),
        (
            "for an authority of your own, make the client with ssl=ssl.create_default_context(cafile=...)",
            "for an authority of your own, set SSL_CERT_FILE to its certificate's file",
        ),
        (
            "asks to wait 90 s, above max_retry_after (60 s), so it was not sent again",
            "asks to wait 90 s, above the most that is waited (60 s), so it was not sent again",
        ),
        ("the answer is cut; what had arrived is in .partial", "the answer is cut"),
        ("the file 'x' is over 7 bytes; max_bytes= sets the bound", "the file 'x' is over 7 bytes"),
        (f"the credential gave none{SEE_CAUSE}", "the credential gave none; `inference-async doctor --call` says more"),
        ("over 7 choices; raise max_choices if it is meant to", "over 7 choices"),
        ("over 7 bytes; raise max_body_bytes if it is meant to be", "over 7 bytes"),
        ("not within 5 s (timeout 'total', 5 s after)", "not within 5 s (timeout 'total', 5 s after)"),
        (
            "got 400 from h: the service's own model= and .partial",
            "got 400 from h: the service's own model= and .partial",
        ),
    ],
)
def test_words(said: str, told: str) -> None:
    assert on_the_command_line(said, {}) == told


def test_options_of_a_command() -> None:
    assert on_the_command_line("within 5 s (timeout 'total', 5 s)", OF_CHAT) == "within 5 s (--timeout, 5 s)"
    said = 'pass a key, an azure-identity credential or "default", or set X (or say dialect= if this is another kind)'
    assert (
        on_the_command_line(said, OF_ENDPOINTS) == "pass --entra, or set X (or pass --dialect if this is another kind)"
    )


def messages() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        if path.name != "words.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize("table", [OF_CHAT, OF_ENDPOINTS, words._EVERYWHERE], ids=["chat", "endpoints", "everywhere"])
def test_the_library_says_so(table: Mapping[str, str]) -> None:
    said = "\n".join(messages())
    assert [ours for ours in table if ours not in said] == []
