"""`inference-async serve`: the emulator as a server for other programs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from ..emulator import Emulator, Script

__all__ = ["serve"]


async def serve(*, port: int, key: str, script: Path | None, pace: float) -> int:
    """Serve until SIGINT or SIGTERM; both are a clean end."""
    emulator = Emulator(Script.load(script) if script is not None else None, key=key, port=port, pace=pace)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with emulator:
        click.echo(f"emulator at {emulator.url}: no model behind it, answers come from a script; stop it with Ctrl-C")
        click.echo(f"  export AZURE_INFERENCE_ENDPOINT={emulator.models_url}   # or {emulator.openai_url}")
        click.echo(f"  export AZURE_INFERENCE_CREDENTIAL={key}")
        await stop.wait()
    return 0
