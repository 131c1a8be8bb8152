"""The commands, and what becomes of their errors: one line on stderr and an honest exit code."""

from __future__ import annotations

import asyncio
import math
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import click

from .._version import __version__
from ..errors import InferenceError
from .chat import chat
from .conformance import conformance
from .doctor import Asked, doctor
from .faults import faults
from .serve import serve, serve_faults

__all__ = ["cli", "run"]

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells count
_PAUSE = 0.2  # seconds between bytes that come slowly, at a pace of 1


_A_SCRIPT = """\b
A script of one rule:
  {"rules": [{"match": {"contains": "weather"}, "answer": {"content": "Rain."}}]}
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="inference-async")
def cli() -> None:
    """Chat with models on Azure AI Foundry, or with a local emulator of it.

    Endpoint, key and model are read from AZURE_INFERENCE_ENDPOINT, AZURE_INFERENCE_CREDENTIAL and
    AZURE_INFERENCE_MODEL; or else from AZURE_AI_CHAT_{ENDPOINT,KEY,MODEL},
    AZURE_AI_EMBEDDINGS_{ENDPOINT,KEY,MODEL}, AZURE_OPENAI_{ENDPOINT,API_KEY,DEPLOYMENT} or
    OPENAI_{BASE_URL,API_KEY,MODEL}. A key that is set beside an endpoint goes only there.
    """


@cli.command("chat", short_help="Ask once, and stream the answer.")
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="Instructions that stand above the prompt.")
@click.option("--model", metavar="NAME", help="The deployment's name.")
@click.option("--endpoint", metavar="URL", help="The endpoint, in place of the environment's.")
@click.option("--temperature", type=float, metavar="N", help="How freely to sample; 0 is (nearly) repeatable.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most tokens to generate.")
@click.option("--json", "as_json", is_flag=True, help="Ask for a JSON object (the prompt should say so too).")
def chat_command(prompt: str | None, as_json: bool, **given: Any) -> int:
    """Ask PROMPT and stream the answer; what is piped in comes after the prompt, or in its place.

    The answer goes to stdout; usage and timing go to stderr. With no endpoint set, an emulator is started inside this
    process and asked over real HTTP. The exit code is 0 for a whole answer, 3 for one that is cut by the limit of
    tokens or by content safety, 1 for an error.
    """
    options: dict[str, Any] = {name: given[name] for name in ("temperature", "max_tokens") if given[name] is not None}
    if as_json:
        options["response_format"] = "json_object"
    return _run(
        chat(_prompt(prompt), system=given["system"], model=given["model"], endpoint=given["endpoint"], options=options)
    )


def _of_an_endpoint(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say what endpoint is meant, and how it is to be understood."""
    for option in reversed(
        (
            click.argument("url", required=False),
            click.option("--model", metavar="NAME", help="The deployment's name."),
            click.option(
                "--entra",
                is_flag=True,
                help="Take a Microsoft Entra ID token (DefaultAzureCredential) in place of a key.",
            ),
            click.option(
                "--dialect", metavar="NAME", help="Overrule what the URL says: models, openai-v1, deployment ..."
            ),
            click.option("--api-version", metavar="VERSION", help="Overrule the dialect's own; '' sends none."),
            click.option("--key-header", metavar="NAME", help="Overrule the header that carries a key."),
            click.option("--scope", metavar="SCOPE", help="Overrule the scope of tokens."),
        )
    ):
        command = option(command)
    return command


@cli.command("doctor", short_help="Say what is understood of an endpoint.")
@_of_an_endpoint
@click.option("--call", is_flag=True, help="Make one small request too, and explain what comes of it.")
def doctor_command(url: str | None, **given: Any) -> int:
    """Say what is understood of URL, or of the endpoint in the environment: dialect, addresses, key, token, version.

    Nothing is sent without --call. The exit code is 0 if all is well, 1 if there is a problem.
    """
    return _run(doctor(Asked(url, **given)))


@cli.command("conformance", short_help="Say what a server does differently from Azure.")
@_of_an_endpoint
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def conformance_command(url: str | None, as_json: bool, **given: Any) -> int:
    """Ask the server at URL, or that of the environment, some twenty small questions, and say how it answers.

    Whole answers and streams, where usage comes, [DONE], tool calls, JSON, errors, unknown parameters: each as Azure
    does it, or how not. It costs some hundreds of tokens. The exit code is 0, or 1 if something would break this
    client, or the server cannot be talked to.
    """
    return _run(conformance(Asked(url, **given), as_json=as_json))


@cli.command("serve", short_help="Run the emulator for other programs.", epilog=_A_SCRIPT)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
@click.option("--key", default="emulator-key", show_default=True, help="The key that callers must send; '' for none.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file that says what to answer, in place of the one that ships with the package.",
)
@click.option("--pace", type=float, default=1.0, show_default=True, help="A factor on the delays of the script.")
@click.option(
    "--fault",
    "named",
    multiple=True,
    metavar="NAME",
    help="Misbehave instead: `inference-async faults` lists how. Given again, it is for the next request.",
)
def serve_command(port: int, key: str, script: Path | None, pace: float, named: tuple[str, ...]) -> int:
    """Run the emulator on loopback for other programs, until Ctrl-C or SIGTERM.

    It speaks every dialect of the API on one port, chat and embeddings, and answers from a script; what no rule of the
    script fits is said back. With --fault it gives a short chat answer on every path, takes any key, and does one thing
    wrong: `--fault status-503 --fault fine` refuses the first request and answers the others.
    """
    if not 0 <= pace < math.inf:
        raise click.BadParameter("expected a number, 0 or more", param_hint="'--pace'")
    if not named:
        return _run(serve(port=port, key=key or None, script=script, pace=pace))
    if script is not None:
        raise click.UsageError("got --script beside --fault, which answers from none")
    return _run(serve_faults(named, port=port, pause=_PAUSE * pace))


@cli.command("faults", short_help="List what can be made to go wrong.")
def faults_command() -> int:
    """List the faults that `inference-async serve --fault NAME` serves: what each is called, and what happens."""
    return faults()


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if sys.stdout is None or sys.stderr is None:
        if sys.stderr is not None:
            sys.stderr.write("error: stdout is closed, and the answer has nowhere to go\n")
        return 1
    try:
        code = cli.main(args=args, prog_name="inference-async", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except InferenceError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        return _leave_pipe()
    except OSError as error:
        click.echo(f"error: the answer cannot be written: {(error.strerror or str(error)).lower()}", err=True)
        _leave_pipe()
        return 1
    return int(code or 0)


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except BrokenPipeError:  # here, because click would make an exit code of its own of it
        return _leave_pipe()


def _leave_pipe() -> int:
    """The reader has gone, as `head` does. Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


def _prompt(given: str | None) -> str:
    piped = ""
    if sys.stdin is not None and (given == "-" or _is_piped()):
        piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    # Bytes of the command line that are no UTF-8 come as surrogates, which no request can say.
    asked = "" if given in (None, "-") else os.fsencode(given or "").decode("utf-8", "replace").strip()
    prompt = "\n\n".join(part for part in (asked, piped) if part)
    if not prompt:
        raise click.UsageError("got no prompt: give one as an argument, or pipe it in")
    return prompt


def _is_piped() -> bool:
    """Whether stdin is a pipe or a file, so that reading it comes to an end."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
