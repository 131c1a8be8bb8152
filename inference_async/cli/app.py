"""The commands, and what becomes of their errors: one line on stderr and an honest exit code."""

from __future__ import annotations

import asyncio
import math
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from .._version import __version__
from ..errors import ConfigurationError, InferenceError
from ..policy.timeouts import Timeouts
from .asked import Asked
from .chat import chat
from .completion import SHELLS, dialects, fault_names
from .completion import script as script_for
from .conformance import conformance
from .doctor import Asked as Patient
from .doctor import doctor
from .embed import embed
from .faults import faults
from .info import info
from .named import text_lines, tools_named
from .serve import Behaviour, serve, serve_faults
from .words import OF_CHAT, OF_ENDPOINTS, on_the_command_line

__all__ = ["cli", "run"]

_BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells count
_PAUSE = 0.2  # seconds between bytes that come slowly, at a pace of 1


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW_FILE = click.Path(path_type=Path, dir_okay=False)

_CHATS = """\b
Examples:
  inference-async chat "How many languages are in the world?"
  inference-async chat                                  a session
  git diff | inference-async chat "Write a commit message for this."
  inference-async chat "What is this?" --image photo.jpg
  inference-async chat "Do I need an umbrella?" --tools weather:forecast
  inference-async chat "The largest city of Norway?" --json-schema city.json
  inference-async chat --load talk.json --save talk.json
"""
_EMBEDDINGS = """\b
Examples:
  inference-async embed "red" "green" --model text-embedding-3-small
  inference-async embed --file lines.txt > vectors.jsonl
  inference-async embed "red" --json | jq .usage
"""
_INFOS = """\b
Examples:
  inference-async info
  inference-async info --endpoint https://NAME.REGION.models.ai.azure.com --json
"""
_DIAGNOSES = """\b
Examples:
  inference-async doctor https://NAME.services.ai.azure.com/openai/v1 --model gpt-4o
  inference-async doctor --call
  inference-async doctor --entra --call
"""
_CONFORMANCES = """\b
Examples:
  inference-async conformance http://127.0.0.1:11434/v1 --model llama3.2
  inference-async conformance --json | jq .
"""
_FAULTS = """\b
Examples:
  inference-async faults
  inference-async faults | grep gzip
  inference-async serve --fault gzip+cut-in-chunk
"""
_COMPLETIONS = """\b
Examples:
  eval "$(inference-async completion bash)"             in ~/.bashrc
  eval "$(inference-async completion zsh)"              in ~/.zshrc
  inference-async completion fish > ~/.config/fish/completions/inference-async.fish
"""
_A_SCRIPT = """\b
Examples:
  inference-async serve
  inference-async serve --port 0 --script answers.json --pace 0
  inference-async serve --fault status-503 --fault fine

\b
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


@cli.command("chat", short_help="Ask a question, or start a session.", epilog=_CHATS)
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="System instructions for the conversation.")
@click.option("--model", metavar="NAME", help="The deployment's name.")
@click.option("--endpoint", metavar="URL", help="The endpoint, instead of the one in the environment.")
@click.option("--temperature", type=float, metavar="N", help="Sampling temperature; 0 is (nearly) repeatable.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most tokens to generate.")
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    help=f"The most seconds that an answer may take, retries included; {Timeouts().total:g} by default.",
)
@click.option("--image", "images", type=_FILE, multiple=True, help="An image to send with the prompt; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Ask for a JSON object (the prompt should say so too).")
@click.option("--json-schema", type=_FILE, help="Ask for JSON that conforms to the JSON Schema in this file.")
@click.option(
    "--tools",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="A typed Python function that the model may call; may be repeated. Each call is printed and then run without "
    "asking you first, so name only functions that are safe to run.",
)
@click.option("--usage", is_flag=True, help="Report the full cost of each answer, in a session too.")
@click.option("--raw", is_flag=True, help="Print each event of the stream as a line of JSON, instead of the text.")
@click.option("--save", type=_NEW_FILE, help="Write the conversation to this file after each answer.")
@click.option("--load", type=_FILE, help="Continue a saved conversation.")
@click.option("--no-history", is_flag=True, help="Do not keep the prompts of the session for the next one.")
def chat_command(prompt: str | None, timeout: float | None, as_json: bool, no_history: bool, **given: Any) -> int:
    """Ask PROMPT and stream the answer. Piped input is added after the prompt, or takes its place.

    With neither, on a terminal, it starts a session, which remembers the conversation: /help lists its commands, Ctrl-C
    cancels an answer, Ctrl-D ends the session. A terminal shows answers as Markdown, and a model's reasoning dimmed
    above them; elsewhere the text is printed as it comes.

    The answer goes to stdout; usage and timing go to stderr. With no endpoint set, a built-in emulator answers, over
    real HTTP. The exit code is 0 for a whole answer, 3 for one cut short by the token limit or by content safety, and 1
    for an error.
    """
    options: dict[str, Any] = {
        name: value for name in ("temperature", "max_tokens") if (value := given.pop(name)) is not None
    }
    if as_json:
        if given["json_schema"] is not None:
            raise click.UsageError("got both --json and --json-schema, expected one of them")
        options["response_format"] = "json_object"
    given["tools"] = tools_named(given["tools"])  # here, for it runs code of the caller's, which may block
    timeouts = None if timeout is None else _timeouts(timeout)
    asked = Asked(prompt=_prompt(prompt), timeouts=timeouts, options=options, history=not no_history, **given)
    return _run(chat(asked), OF_CHAT)


@cli.command("embed", short_help="Turn texts into vectors.", epilog=_EMBEDDINGS)
@click.argument("texts", nargs=-1)
@click.option("--file", type=_FILE, help="Embed each line of this file, after the texts given.")
@click.option("--model", metavar="NAME", help="The deployment's name.")
@click.option("--endpoint", metavar="URL", help="The endpoint, instead of the one in the environment.")
@click.option("--dimensions", type=click.IntRange(min=1), metavar="N", help="The length of the vectors.")
@click.option(
    "--input-type",
    type=click.Choice(["text", "query", "document"]),
    help="What the texts are for; some models embed a query unlike a document.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as one JSON object.")
def embed_command(
    texts: tuple[str, ...], file: Path | None, model: str | None, endpoint: str | None, as_json: bool, **given: Any
) -> int:
    """Embed each of TEXTS, or each line of piped input; blank lines are skipped.

    On a terminal, print a table with the first numbers of each vector; elsewhere, print each vector as a JSON array on
    a line of its own. Usage goes to stderr.
    """
    options = {name: value for name, value in given.items() if value is not None}
    said = [text for text in map(_text, texts) if text]
    if not said and file is None and _is_piped():
        said = text_lines(sys.stdin.buffer.read())
    return _run(embed(said, file=file, model=model, endpoint=endpoint, options=options, as_json=as_json))


@cli.command("info", short_help="Show which model an endpoint serves.", epilog=_INFOS)
@click.option("--endpoint", metavar="URL", help="The endpoint, instead of the one in the environment.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as one JSON object.")
def info_command(endpoint: str | None, as_json: bool) -> int:
    """Ask the endpoint which model it serves: its name, kind and provider.

    Serverless endpoints and managed compute serve one model and name it; endpoints that serve many answer 404.
    """
    return _run(info(endpoint=endpoint, as_json=as_json))


def _of_an_endpoint(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say what endpoint is meant, and how it is to be understood."""
    for option in reversed(
        (
            click.argument("url", required=False),
            click.option("--model", metavar="NAME", help="The deployment's name."),
            click.option(
                "--entra",
                is_flag=True,
                help="Use a Microsoft Entra ID token (DefaultAzureCredential) instead of a key.",
            ),
            click.option(
                "--dialect",
                metavar="NAME",
                shell_complete=dialects,
                help="Override the dialect that the URL implies: models, openai-v1, deployment ...",
            ),
            click.option(
                "--api-version", metavar="VERSION", help="Override the version of the dialect; '' sends none."
            ),
            click.option("--key-header", metavar="NAME", help="Override the header that carries the key."),
            click.option("--scope", metavar="SCOPE", help="Override the scope of tokens."),
        )
    ):
        command = option(command)
    return command


@cli.command("doctor", short_help="Check an endpoint, and explain what is wrong with it.", epilog=_DIAGNOSES)
@_of_an_endpoint
@click.option("--call", is_flag=True, help="Also make one small request, and explain the result.")
def doctor_command(url: str | None, **given: Any) -> int:
    """Show how URL, or the endpoint in the environment, is understood: dialect, addresses, key, token, version.

    Nothing is sent without --call. The exit code is 0 if all is well, and 1 if there is a problem.
    """
    return _run(doctor(Patient(url, **given)), OF_ENDPOINTS)


@cli.command("conformance", short_help="Report where a server differs from Azure.", epilog=_CONFORMANCES)
@_of_an_endpoint
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def conformance_command(url: str | None, as_json: bool, **given: Any) -> int:
    """Ask the server at URL, or the one in the environment, some twenty small questions, and report how it answers.

    They cover whole answers and streams, usage, [DONE], tool calls, JSON, errors and unknown parameters: each is as on
    Azure, or the report says what differs. A run costs a few hundred tokens. The exit code is 1 if a difference would
    break this client or the server cannot be reached, and 0 otherwise.
    """
    return _run(conformance(Patient(url, **given), as_json=as_json), OF_ENDPOINTS)


@cli.command("serve", short_help="Run the emulator for other programs.", epilog=_A_SCRIPT)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
@click.option("--key", default="emulator-key", show_default=True, help="The key that callers must send; '' for none.")
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A JSON file with the answers, instead of the built-in one. It is read again when it changes.",
)
@click.option("--pace", type=float, default=1.0, show_default=True, help="Multiply all delays by this; 0 for none.")
@click.option("--latency", metavar="first=400ms,token=25ms", help="Delays, instead of those in the script.")
@click.option("--jitter", metavar="20%", help="Make each delay shorter or longer, at random, by up to this much.")
@click.option("--seed", type=int, metavar="N", help="Seed of the jitter, so that runs can be repeated.")
@click.option(
    "--rate-limit", metavar="rpm=60,tpm=10000", help="Requests and tokens per minute; requests beyond that get a 429."
)
@click.option(
    "--upstream", metavar="URL", help="Pass requests on to this OpenAI-compatible server, such as a local model."
)
@click.option(
    "--upstream-key",
    metavar="KEY",
    envvar="INFERENCE_ASYNC_UPSTREAM_KEY",
    show_envvar=True,
    help="The key of that server; set it in the environment to keep it out of the process list.",
)
@click.option("--show-prompts", is_flag=True, help="Show the last message of each request on the status page.")
@click.option(
    "--fault",
    "named",
    multiple=True,
    metavar="NAME",
    shell_complete=fault_names,
    help="Misbehave instead: `inference-async faults` lists how. Repeat the option for the requests after the first.",
)
def serve_command(
    port: int, key: str, script: Path | None, pace: float, named: tuple[str, ...], **behaviour: Any
) -> int:
    """Run the emulator on loopback for other programs, until Ctrl-C or SIGTERM.

    It speaks every dialect of the API on one port, chat and embeddings, and answers from a script; a prompt that no
    rule of the script matches is echoed. With --upstream, another server answers instead. The page at / shows the
    requests as they come.

    With --fault it accepts any path and any key, gives a short chat answer, and does one thing wrong:
    `--fault status-503 --fault fine` refuses the first request and answers the others.
    """
    if not 0 <= pace < math.inf:
        raise click.BadParameter("expected a number, 0 or more", param_hint="'--pace'")
    if not named:
        return _run(serve(port=port, key=key or None, script=script, pace=pace, behaviour=Behaviour(**behaviour)))
    if script is not None:
        raise click.UsageError("got --script beside --fault, which answers from none")
    if Behaviour(**behaviour)._replace(upstream_key=None) != Behaviour():  # which may be in the environment
        raise click.UsageError("got --fault beside what only the emulator does, such as --latency or --upstream")
    return _run(serve_faults(named, port=port, pause=_PAUSE * pace))


@cli.command("faults", short_help="List the faults that can be served.", epilog=_FAULTS)
def faults_command() -> int:
    """List the faults that `inference-async serve --fault NAME` can serve: their names, and what happens."""
    return faults()


@cli.command("completion", short_help="Print a script for shell completion.", epilog=_COMPLETIONS)
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> int:
    """Print the script that makes SHELL complete commands, options, files, dialects and names of faults."""
    click.echo(script_for(cli, shell))
    return 0


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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed, as the extra ``speed`` does."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        return None  # libuv aborts the process if one of its own files gets such a number
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _timeouts(seconds: float) -> Timeouts:
    try:
        return Timeouts(total=seconds)
    except ConfigurationError:
        raise click.BadParameter(
            f"got {seconds:g}, expected seconds above 0, at most 1e9", param_hint="'--timeout'"
        ) from None


def _run(work: Coroutine[Any, Any, int], options: Mapping[str, str] = MappingProxyType({})) -> int:
    """The exit code of a command; its errors speak of these options, see `on_the_command_line`."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except InferenceError as error:
        error.reword(on_the_command_line(str(error), options))
        raise
    except BrokenPipeError:  # here, because click would make an exit code of its own of it
        return _leave_pipe()


def _leave_pipe() -> int:
    """The reader has gone, as `head` does. Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE


def _prompt(given: str | None) -> str | None:
    """What is asked: the argument, what is piped in, or both; None for a session with the terminal."""
    if given is None and sys.stdin is not None and sys.stdin.isatty():
        return None
    piped = ""
    if sys.stdin is not None and (given == "-" or _is_piped()):
        piped = sys.stdin.buffer.read().decode("utf-8", "replace").strip()
    asked = "" if given in (None, "-") else _text(given or "")
    prompt = "\n\n".join(part for part in (asked, piped) if part)
    if not prompt:
        raise click.UsageError("got no prompt: give one as an argument, or pipe it in")
    return prompt


def _text(given: str) -> str:
    """An argument as text: bytes that are no UTF-8 come as surrogates, which no request can say."""
    return os.fsencode(given).decode("utf-8", "replace").strip()


def _is_piped() -> bool:
    """Whether stdin is a pipe or a file, so that reading it comes to an end."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
