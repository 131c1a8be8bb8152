"""`inference-async serve`: the emulator as a server for other programs, or a server that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click

from ..emulator import Emulator, FaultServer, Latency, RateLimit, Script
from ..errors import ConfigurationError

__all__ = ["Behaviour", "serve", "serve_faults"]

_LOOK: Final = 0.3  # seconds between two looks at the file of the script


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
    """Serve until SIGINT or SIGTERM; both are a clean end. A script is read again whenever its file changes.

    Raises:
        ConfigurationError: the port is taken, or the script or the upstream cannot be understood.
        click.BadParameter: a latency, a jitter or a rate limit cannot be understood.
    """
    with _meant_by("--latency", "--jitter"):
        latency = Latency.parse(behaviour.latency or "", jitter=behaviour.jitter or "", seed=behaviour.seed)
    with _meant_by("--rate-limit"):
        rate_limit = RateLimit.parse(behaviour.rate_limit) if behaviour.rate_limit is not None else None
    emulator = Emulator(
        Script.load(script) if script is not None else None,
        key=key,
        port=port,
        pace=pace,
        latency=latency,
        rate_limit=rate_limit,
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
        click.echo(f"status page at {emulator.url}/")
        status = emulator.status
        if status.limits:
            click.echo(f"each model takes {', '.join(status.limits)}; requests beyond that get a 429")
        source = status.answers if behaviour.upstream is not None else f"{status.answers}, not from a model"
        click.echo(f"answers come {source}; press Ctrl-C to stop; to use it from other programs:")
        click.echo(f"  export AZURE_INFERENCE_ENDPOINT={emulator.models_url}")
        click.echo(f"  export AZURE_INFERENCE_CREDENTIAL={shlex.quote(key or 'any')}")
        click.echo("  export AZURE_INFERENCE_MODEL=demo")
        following = asyncio.create_task(_follow(script, emulator)) if script is not None else None
        await stop.wait()
        if following is not None:
            following.cancel()
    return 0


async def _follow(path: Path, emulator: Emulator) -> None:
    """Answer from the file as it is now; one that holds no script, as while it is being written, changes nothing."""
    known = await asyncio.to_thread(_version_of, path)
    while True:
        await asyncio.sleep(_LOOK)
        version = await asyncio.to_thread(_version_of, path)
        if version in (known, None):
            continue
        known = version
        try:
            emulator.script = await asyncio.to_thread(Script.load, path)
        except ConfigurationError as error:
            click.echo(f"error: {error}; the previous script stays in use", err=True)
        else:
            click.echo(f"{str(path)!r} has changed, and was read again", err=True)


def _version_of(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written; None if there is no such file at the moment."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


@contextlib.contextmanager
def _meant_by(*options: str) -> Generator[None, None, None]:
    """What cannot be understood is the fault of these options."""
    try:
        yield
    except ConfigurationError as error:
        raise click.BadParameter(str(error), param_hint=" / ".join(map(repr, options))) from None


async def serve_faults(faults: Sequence[str], *, port: int, pause: float) -> int:
    """Serve these faults, one for each request and the last one from then on, until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: there is no such fault.
    """
    server = FaultServer(*faults, port=port, pause=pause, page=True, log=lambda line: click.echo(line, err=True))
    stop = _told_to_stop()
    async with server:
        click.echo(f"faults at {server.url}, on every path: {', then '.join(faults)}")
        click.echo(f"status page at {server.url}/")
        click.echo("every request gets a short chat answer; press Ctrl-C to stop; to use it from other programs:")
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
