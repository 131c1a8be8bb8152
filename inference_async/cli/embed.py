"""`inference-async embed`: texts as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError
from ..local import connect
from ..types import EmbeddingsResult
from .named import lines_of
from .render import noter, print_json, without_controls

__all__ = ["embed"]

_SHOWN: Final = 4  # numbers of each vector
_WIDEST: Final = 28  # columns for the beginning of a text


async def embed(
    texts: Sequence[str],
    *,
    file: Path | None,
    model: str | None,
    endpoint: str | None,
    options: dict[str, Any],
    as_json: bool,
) -> int:
    """Print a vector for each text: as a table on a terminal, else as a JSON array on a line of its own.

    Raises:
        ConfigurationError: there is no text.
        InferenceError: as of `InferenceClient.embed`.
    """
    if file is not None:
        texts = [*texts, *await lines_of(file)]
    if not texts:
        raise ConfigurationError("got no text: give some as arguments, name a file, or pipe lines in")
    note = noter()
    async with connect(endpoint, model=model, note=note) as client:
        result = await client.embed(list(texts), **options)
    console = Console(highlight=False, markup=False)
    if as_json:
        print_json(result.to_dict())
    elif console.is_terminal:
        console.print(_table(texts, result))
    else:
        for vector in result.vectors:
            print_json(list(vector))
    count = result.usage.prompt_tokens if result.usage is not None else None
    usage = "no usage reported" if count is None else f"{count} token{'' if count == 1 else 's'}"
    note(f"{result.model or 'unknown model'}, {usage}")
    return 0


def _table(texts: Sequence[str], result: EmbeddingsResult) -> Table:
    """The vectors at a glance: nobody reads a thousand numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("text", no_wrap=True)
    table.add_column("numbers", no_wrap=True, justify="right")
    table.add_column("beginning with", no_wrap=True)
    for text, vector in zip(texts, result.vectors, strict=True):
        begins = Text(without_controls(" ".join(text.split())))
        begins.truncate(_WIDEST, overflow="ellipsis")
        numbers = ", ".join(f"{number:.4g}" for number in vector[:_SHOWN])
        table.add_row(begins, f"{len(vector):,}", f"{numbers} ...")
    return table
