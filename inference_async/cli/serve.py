"""`inference-async serve`: the emulator as a server for other programs, or a server that misbehaves."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from ..emulator import Emulator, FaultServer, Latency, RateLimit, Script

__all__ = ["Behaviour", "serve", "serve_faults"]


class Behaviour(NamedTuple):
    """How the emulator behaves, as the command line has it; None, or nothing, where it says nothing.

    Attributes:
        latency: ``first=400ms,token=25ms``.
        jitter: ``20%``.
        seed: what the jitter is drawn from.
        rate_limit: ``rpm=60,tpm=10000``.
        upstream: the URL of the server that answers.
        upstream_key: its key.
        show_prompts: the status page shows prompts.
    """

    latency: str | None = None
    jitter: str | None = None
    seed: int | None = None
    rate_limit: str | None = None
    upstream: str | None = None
    upstream_key: str | None = None
    show_prompts: bool = False


async def serve(*, port: int, key: str | None, script: Path | None, pace: float, behaviour: Behaviour) -> int:
    """Serve until SIGINT or SIGTERM; both are a clean end.

    Raises:
        ConfigurationError: the port is taken, or the script or the behaviour cannot be understood.
    """
    latency = Latency.parse(behaviour.latency or "", jitter=behaviour.jitter or "", seed=behaviour.seed)
    emulator = Emulator(
        Script.load(script) if script is not None else None,
        key=key,
        port=port,
        pace=pace,
        latency=latency,
        rate_limit=RateLimit.parse(behaviour.rate_limit) if behaviour.rate_limit is not None else None,
        upstream=behaviour.upstream,
        upstream_key=behaviour.upstream_key or None,
        show_prompts=behaviour.show_prompts,
        log=lambda line: click.echo(line, err=True),
    )
    stop = _told_to_stop()
    async with emulator:
        click.echo(f"emulator at {emulator.models_url} and {emulator.openai_url}")
        further = (emulator.deployment_url("NAME"), emulator.serverless_url, emulator.managed_url, emulator.generic_url)
        paths = ", ".join(url.removeprefix(emulator.url) for url in further)
        front = emulator.front_url.removeprefix(emulator.url)
        click.echo(f"also at {paths}, and {front} with the key in Ocp-Apim-Subscription-Key")
        click.echo(f"what goes on is shown at {emulator.url}/")
        status = emulator.status
        behind = "no model behind it: answers come" if behaviour.upstream is None else "answers come"
        if status.limits:
            click.echo(f"each model takes {', '.join(status.limits)}; what is beyond gets a 429")
        click.echo(f"{behind} {status.answers}; stop it with Ctrl-C; for other programs:")
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
    server = FaultServer(*faults, port=port, pause=pause, page=True, log=lambda line: click.echo(line, err=True))
    stop = _told_to_stop()
    async with server:
        click.echo(f"faults at {server.url}, on every path: {', then '.join(faults)}")
        click.echo(f"what goes on is shown at {server.url}/")
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
