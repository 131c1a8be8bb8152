"""`inference-async info`: which model an endpoint holds."""

from __future__ import annotations

import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError, NotFoundError
from ..local import connect
from ..wire.endpoints import ENDPOINT_VARIABLES, settings_from
from .render import noter, print_json, without_controls

__all__ = ["info"]


async def info(*, endpoint: str | None, as_json: bool) -> int:
    """Print what the endpoint says of its model: a table on a terminal, else a line for each fact.

    Raises:
        ConfigurationError: there is no endpoint.
        InferenceError: as of `InferenceClient.model_info`.
    """
    if endpoint is None and settings_from(os.environ).endpoint is None:  # the emulator inside would not know
        raise ConfigurationError(
            f"got no endpoint: name one with --endpoint, or set one of {', '.join(ENDPOINT_VARIABLES)}"
        )
    async with connect(endpoint, note=noter()) as client:
        try:
            told = await client.model_info()
        except NotFoundError as error:
            error.reword(f"{error}; an endpoint of many models does not say which one")
            raise
    if as_json:
        print_json(told.to_dict())
        return 0
    console = Console(highlight=False, markup=False)
    facts = {"model": told.model_name, "kind": told.kind, "provider": told.model_provider_name}
    rows = {name: without_controls(str(value)) for name, value in {**facts, **told.extra}.items() if value}
    if not console.is_terminal:
        for name, value in rows.items():
            console.print(f"{name:12}{value}", soft_wrap=True)
        return 0
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(without_controls(name), Text(value))
    console.print(table)
    return 0
