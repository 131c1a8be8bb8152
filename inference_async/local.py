"""A client for trying things out: the endpoint of the environment, or an emulator inside this process."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from .client import InferenceClient
from .wire.endpoints import settings_from

__all__ = ["connect"]


def _to_stderr(note: str) -> None:
    print(note, file=sys.stderr)  # noqa: T201  (this is what it is for)


@asynccontextmanager
async def connect(
    endpoint: str | None = None, *, model: str | None = None, note: Callable[[str], None] = _to_stderr
) -> AsyncGenerator[InferenceClient, None]:
    """A client of the endpoint given, or of the environment's, or of an emulator that lives as long as the client.

    Args:
        endpoint: where to go, in place of the environment's.
        model: the deployment's name; the emulator takes any.
        note: told in one line when it is the emulator that will answer.

    Raises:
        ConfigurationError: the endpoint cannot be understood, or lacks a credential.
    """
    if endpoint is not None or settings_from(os.environ).endpoint is not None:
        async with InferenceClient(endpoint, model=model) as client:
            yield client
        return
    from .emulator import Emulator

    async with Emulator() as emulator:
        note(
            f"no endpoint is set, so the built-in emulator answers, at {emulator.url}: from a script, without a model; "
            "prompts that the script does not cover are echoed"
        )
        async with InferenceClient(emulator.models_url, emulator.key, model=model or "demo") as client:
            yield client
