"""The commands, and what becomes of their errors: one line on stderr and an honest exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .._version import __version__
from ..errors import InferenceError
from .chat import chat
from .serve import serve

__all__ = ["cli", "run"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_BROKEN_PIPE = 141  # 128 + SIGPIPE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="inference-async")
def cli() -> None:
    """Chat with models on Azure AI Foundry, or with a local emulator of it.

    The endpoint is read from AZURE_INFERENCE_ENDPOINT, AZURE_AI_CHAT_ENDPOINT, AZURE_OPENAI_ENDPOINT or
    OPENAI_BASE_URL, and the key from the variable that belongs to it: AZURE_INFERENCE_CREDENTIAL, AZURE_AI_CHAT_KEY,
    AZURE_OPENAI_API_KEY or OPENAI_API_KEY.
    """


@cli.command("chat")
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="Instructions that stand above the prompt.")
@click.option("--model", metavar="NAME", help="The deployment's name.")
@click.option("--endpoint", metavar="URL", help="The endpoint, in place of the environment's.")
@click.option("--temperature", type=float, metavar="N", help="How freely to sample; 0 is (nearly) repeatable.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most tokens to generate.")
@click.option("--json", "as_json", is_flag=True, help="Ask for a JSON object (the prompt should say so too).")
def chat_command(prompt: str | None, as_json: bool, **given: Any) -> int:
    """Ask PROMPT, or what is piped in, and stream the answer.

    The answer goes to stdout; usage and timing go to stderr. With no endpoint set, an emulator is started inside this
    process and asked over real HTTP.
    """
    if prompt in (None, "-"):
        if prompt is None and sys.stdin.isatty():
            raise click.UsageError("got no prompt: give one as an argument, or pipe it in")
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    if not prompt:
        raise click.UsageError("got an empty prompt")
    options: dict[str, Any] = {name: given[name] for name in ("temperature", "max_tokens") if given[name] is not None}
    if as_json:
        options["response_format"] = "json_object"
    return asyncio.run(
        chat(prompt, system=given["system"], model=given["model"], endpoint=given["endpoint"], options=options)
    )


@cli.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
@click.option("--key", default="emulator-key", show_default=True, help="The key that callers must send.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file that says what to answer, in place of the one that ships with the package.",
)
@click.option("--pace", type=click.FloatRange(min=0), default=1.0, show_default=True, help="A factor on all delays.")
def serve_command(port: int, key: str, script: Path | None, pace: float) -> int:
    """Run the emulator on loopback for other programs, until Ctrl-C or SIGTERM.

    It speaks /models/chat/completions and /openai/v1/chat/completions on one port.
    """
    return asyncio.run(serve(port=port, key=key, script=script, pace=pace))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code."""
    try:
        code = cli.main(args=args, prog_name="inference-async", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except InferenceError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as `head` does. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return int(code or 0)
