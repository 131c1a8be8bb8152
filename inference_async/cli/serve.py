"""`inference-async serve`: the emulator as a server for other programs, or a server that misbehaves."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

import click

from ..emulator import Emulator, FaultServer, Script

__all__ = ["serve", "serve_faults"]


async def serve(*, port: int, key: str | None, script: Path | None, pace: float) -> int:
    """Serve until SIGINT or SIGTERM; both are a clean end."""
    emulator = Emulator(
        Script.load(script) if script is not None else None,
        key=key,
        port=port,
        pace=pace,
        log=lambda line: click.echo(line, err=True),
    )
    stop = _told_to_stop()
    async with emulator:
        click.echo(f"emulator at {emulator.models_url} and {emulator.openai_url}")
        further = (emulator.deployment_url("NAME"), emulator.serverless_url, emulator.managed_url, emulator.generic_url)
        paths = ", ".join(url.removeprefix(emulator.url) for url in further)
        front = emulator.front_url.removeprefix(emulator.url)
        click.echo(f"also at {paths}, and {front} with the key in Ocp-Apim-Subscription-Key")
        click.echo("no model behind it: answers come from a script; stop it with Ctrl-C; for other programs:")
        click.echo(f"  export AZURE_INFERENCE_ENDPOINT={emulator.models_url}")
        click.echo(f"  export AZURE_INFERENCE_CREDENTIAL={shlex.quote(key or 'any')}")
        click.echo("  export AZURE_INFERENCE_MODEL=demo")
        await stop.wait()
    return 0


async def serve_faults(faults: Sequence[str], *, port: int, pause: float) -> int:
    """Serve these faults, one for each request and the last one from then on, until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: there is no such fault.
    """
    server = FaultServer(*faults, port=port, pause=pause, log=lambda line: click.echo(line, err=True))
    stop = _told_to_stop()
    async with server:
        click.echo(f"faults at {server.url}, on every path: {', then '.join(faults)}")
        click.echo("a short chat answer with these faults, whatever is asked; stop it with Ctrl-C; for other programs:")
        click.echo(f"  export AZURE_INFERENCE_ENDPOINT={server.url}/models")
        click.echo("  export AZURE_INFERENCE_CREDENTIAL=any")
        click.echo("  export AZURE_INFERENCE_MODEL=demo")
        await stop.wait()
    return 0


def _told_to_stop() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows, where Ctrl-C comes as a KeyboardInterrupt
            break
    return stop
