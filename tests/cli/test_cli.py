"""The terminal, as a process: what it prints where, how it ends, and that it goes when told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from inference_async import InferenceClient, InternalServerError, RateLimitError
from inference_async.cli.app import cli
from inference_async.cli.app import run as run_here
from inference_async.emulator import FAULTS, Emulator, Script
from inference_async.emulator.behaviour import GROUPS
from tests.cli.terminal import in_terminal
from tests.support import STREAM_HEAD, Connection, RawServer, chunk, event

QUESTION = "How many languages are in the world?"
ANSWER = "Linguists count roughly 7,000 living languages."


@asynccontextmanager
async def running(*args: str, env: Mapping[str, str] | None = None, piped: bool = False) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-m",
        "inference_async",
        *args,
        stdin=PIPE if piped else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(env or {})},
        # A runner in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    async with running(*args, env=env, piped=stdin is not None) as process:
        out, err = await asyncio.wait_for(process.communicate(stdin), 30)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def test_with_no_endpoint_it_asks_the_emulator_and_says_so() -> None:
    code, out, err = await run("chat", QUESTION)
    assert code == 0
    assert out.startswith(ANSWER)
    assert out.endswith("debate.\n")
    first, second = err.splitlines()
    assert re.fullmatch(
        r"no endpoint is set, so the built-in emulator answers, at http://127\.0\.0\.1:\d+: from a script, without a "
        r"model; prompts that the script does not cover are echoed",
        first,
    )
    assert re.fullmatch(
        r"emulator/demo, 19 \+ 48 = 67 tokens, first text after \d\.\d\d s, \d\.\d\d s in all",
        second,
    )


@pytest.mark.parametrize("args", [("chat",), ("chat", "-")])
async def test_the_prompt_may_be_piped_in(args: tuple[str, ...]) -> None:
    code, out, _ = await run(*args, stdin="Grüße, 世界\n".encode())
    assert (code, out) == (0, "Grüße, 世界\n")


async def test_with_an_endpoint_it_goes_there(emulator: Emulator) -> None:
    env = {"AZURE_INFERENCE_ENDPOINT": emulator.models_url, "AZURE_INFERENCE_CREDENTIAL": str(emulator.key)}
    code, out, err = await run("chat", "hello", "--model", "mine", "--system", "be brief", env=env)
    assert (code, out) == (0, "hello\n")
    assert "no endpoint" not in err
    assert err.startswith("emulator/mine, ")
    assert emulator.requests == 1
    env = {"OPENAI_BASE_URL": emulator.openai_url, "OPENAI_API_KEY": str(emulator.key), "OPENAI_MODEL": "v1"}
    code, out, err = await run("chat", "hello", env=env)
    assert (code, out, err[:12]) == (0, "hello\n", "emulator/v1,")


async def test_options() -> None:
    code, out, err = await run("chat", QUESTION, "--max-tokens", "3", "--temperature", "0")
    assert code == 3
    assert ANSWER.startswith(out.rstrip())
    assert "the answer was cut short by the token limit" in err
    code, out, _ = await run("chat", "x", "--json")
    assert out == '{"echo": "x"}\n'


async def test_a_wrong_key_is_one_line(emulator: Emulator) -> None:
    env = {"AZURE_INFERENCE_ENDPOINT": emulator.models_url, "AZURE_INFERENCE_CREDENTIAL": "wrong-key-9"}
    code, out, err = await run("chat", "hi", "--model", "m", env=env)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"error: got 401 from http://127\.0\.0\.1:\d+/models/chat/completions: Access denied .*\n", err)
    assert "check the key" in err
    assert "wrong-key-9" not in err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("chat", "hi", "--endpoint", "http://127.0.0.1:9/v1"), 1, "error: no connection to 127.0.0.1:9"),
        (("chat", "hi", "--endpoint", "x.openai.azure.com"), 1, "error: got an endpoint without http"),
        (("chat", "hi", "--endpoint", "https://x.openai.azure.com"), 1, "/openai/v1"),
        (("chat", "[content-filter]"), 1, "content safety refused the prompt for violence"),
        (("chat", ""), 2, "got no prompt"),
        (("chat", " "), 2, "got no prompt"),
        (("serve", "--pace", "nan"), 2, "expected a number, 0 or more"),
        (("chat", "hi", "--max-tokens", "0"), 2, "0 is not in the range"),
        (("frob",), 2, "No such command 'frob'"),
        (("serve", "--script", "/nonexistent.json"), 2, "does not exist"),
        (("serve", "--script", __file__, "--fault", "bom"), 2, "got --script beside --fault"),
        (("serve", "--latency", "1s", "--fault", "bom"), 2, "got --fault beside what only the emulator does"),
        (("serve", "--latency", "1s"), 2, "got '1s', expected the form first=400ms,token=25ms"),
        (("serve", "--jitter", "5"), 2, "'--jitter': got '5', expected a percentage"),
        (("serve", "--seed", "x"), 2, "'x' is not a valid integer"),
        (("serve", "--rate-limit", "60"), 2, "'--rate-limit': got '60', expected the form rpm=60,tpm=10000"),
        (("serve", "--rate-limit", ""), 2, "expected the form rpm=60,tpm=10000"),
        (("serve", "--upstream", "localhost"), 1, "got an endpoint without http://"),
        (("serve", "--upstream", "http://x.example/v1", "--upstream-key", "k"), 1, "would travel in the clear"),
        (("serve", "--fault", "cut-in-chunks"), 1, "the nearest is 'cut-in-chunk'"),
        (("serve", "--fault", "silence+gzip"), 1, "with silence there is no answer"),
    ],
)
async def test_errors_are_one_line_without_a_traceback(args: tuple[str, ...], code: int, words: str) -> None:
    got, out, err = await run(*args)
    assert (got, out) == (code, "")
    assert words in err
    assert "Traceback" not in err
    if code == 1:
        assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
        assert err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("chat",), 2, "got no prompt"),
        (("chat", "hi", "--json", "--json-schema", __file__), 2, "got both --json and --json-schema"),
        (("chat", "hi", "--json-schema", __file__), 1, "got no JSON, expected a JSON Schema"),
        (("chat", "hi", "--image", __file__), 1, "that are no image"),
        *(
            (("chat", "hi", "--timeout", each), 2, f"got {each}, expected seconds")
            for each in ("0", "-1", "nan", "inf")
        ),
        (("chat", "hi", "--timeout", "1e10"), 2, "got 1e+10, expected seconds above 0, at most 1e9"),
        (("chat", "hi", "--timeout", "soon"), 2, "'--timeout': 'soon' is not a valid float"),
        (
            ("chat", "hi", "--endpoint", "https://x.services.ai.azure.com"),
            1,
            "https://x.services.ai.azure.com/openai/deployments/NAME",
        ),
        (("doctor", "https://x.services.ai.azure.com"), 1, "(or pass --dialect if this is another kind)"),
        (("conformance", "http://x.example", "--dialect", "x"), 1, "error: got --dialect 'x', expected one of"),
        (("chat", "hi", "--load", __file__), 1, "got no JSON, expected a conversation that was saved"),
        (("chat", "hi", "--tools", "json"), 1, "got the tool 'json', expected module:function"),
        (("embed",), 1, "error: got no text"),
        (("info",), 1, "error: got no endpoint: name one with --endpoint, or set one of AZURE_INFERENCE_ENDPOINT, "),
        (("completion", "tcsh"), 2, "'tcsh' is not one of"),
    ],
)
def test_errors_in_this_process(
    args: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(args) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[-1]


async def test_a_filtered_answer_is_no_success() -> None:
    code, out, err = await run("chat", "[answer-filter]")
    assert (code, out) == (3, "This sentence begins well\n")
    assert "cut short by content safety" in err


async def test_what_is_to_be_taken_back_is_told() -> None:
    code, out, err = await run("chat", "[late-filter]")
    assert code == 3
    assert "content safety withdrew the last 43 characters" in err
    assert len(out.strip()) == 169


async def test_a_cut_stream_is_no_success() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk("Hel")))

    async with RawServer(answer) as server:
        code, out, err = await run("chat", "hi", "--endpoint", f"{server.url}/v1")
    assert code == 1
    assert out == "Hel"
    assert "a finish reason or [DONE]: the answer is cut (from http://" in err


async def test_an_answer_that_takes_too_long() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk("Hel")), end=False)
        await asyncio.sleep(60)

    async with RawServer(answer) as server:
        code, out, err = await run("chat", "hi", "--endpoint", f"{server.url}/v1", "--timeout", "0.3")
    assert (code, out) == (1, "Hel")
    assert "error: the call was not finished within 0.3 s (--timeout, 0.3" in err


async def test_text_comes_as_it_arrives_and_ctrl_c_ends_it() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk("Hello")), end=False)
        await connection.gone.wait()

    async with RawServer(answer) as server, running("chat", "hi", "--endpoint", f"{server.url}/v1") as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readexactly(5), 30) == b"Hello", "before the stream has ended"
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == -signal.SIGINT, "so that a shell stops its loop too"
        assert err == b"\n"
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = f"({sys.executable} -W error -m inference_async chat '{QUESTION}'; echo rc=$? >&2) | head -c 9"
    process = await asyncio.create_subprocess_shell(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert out == b"Linguists"
    assert b"rc=141\n" in err
    assert b"Traceback" not in err
    assert b"Exception" not in err


async def test_a_terminal_gets_no_control_characters() -> None:
    script = (
        b"data: " + b'{"choices":[{"index":0,"delta":{"content":"a\\u001b[2Jb\\tc\\n"},"finish_reason":"stop"}]}\n\n'
    )

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(script)

    ours, theirs = pty.openpty()
    async with RawServer(answer) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inference_async", "chat", "hi", "--endpoint", f"{server.url}/v1"),
            stdin=DEVNULL,
            stdout=theirs,
            stderr=DEVNULL,
            env={**os.environ, "TERM": "dumb"},
        )
        assert await asyncio.wait_for(process.wait(), 30) == 0
    os.close(theirs)
    shown = os.read(ours, 1000)
    os.close(ours)
    assert shown == b"a[2Jb\tc\r\n\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_until_told_to_stop(number: signal.Signals) -> None:
    async with running("serve", "--port", "0", "--key", "k 1", "--pace", "0") as process:
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode() for _ in range(7)]
        found = re.fullmatch(r"emulator at (http://127\.0\.0\.1:\d+/models) and (http\S+/openai/v1)\n", lines[0])
        assert found
        assert lines[1] == (
            "also at /openai/deployments/NAME, /serverless, /managed, /v1, "
            "and /apim/openai/v1 with the key in Ocp-Apim-Subscription-Key\n"
        )
        assert lines[2] == f"status page at {found[1].removesuffix('models')}\n"
        assert lines[3] == (
            "answers come from a script, not from a model; press Ctrl-C to stop; to use it from other programs:\n"
        )
        assert lines[4:] == [
            f"  export AZURE_INFERENCE_ENDPOINT={found[1]}\n",
            "  export AZURE_INFERENCE_CREDENTIAL='k 1'\n",
            "  export AZURE_INFERENCE_MODEL=demo\n",
        ]
        for url in found.groups():
            async with InferenceClient(url, "k 1", model="m") as client:
                assert (await client.complete("hello")).text == "hello"
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert (process.returncode, out) == (0, b"")
        assert err.decode().splitlines() == [
            "200 POST /models/chat/completions m",
            "200 POST /openai/v1/chat/completions m",
        ]


async def test_serve_faults_one_for_each_request() -> None:
    args = ("serve", "--port", "0", "--pace", "0", "--fault", "status-503", "--fault", "bom+slow", "--fault", "fine")
    async with running(*args) as process:
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode() for _ in range(6)]
        found = re.fullmatch(r"faults at (http://127\.0\.0\.1:\d+), on every path: (.*)\n", lines[0])
        assert found
        assert found[2] == "status-503, then bom+slow, then fine"
        assert lines[1] == f"status page at {found[1]}/\n"
        assert lines[3] == f"  export AZURE_INFERENCE_ENDPOINT={found[1]}/models\n"
        async with InferenceClient(f"{found[1]}/models", "any", model="m", retries=0) as client:
            with pytest.raises(InternalServerError):
                await client.complete("hello")
            for _ in range(2):
                assert (await client.stream("hello").final()).text == "Grüße aus Köln."
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert [line.split("?")[0] for line in err.decode().splitlines()] == [
            f"{name} POST /models/chat/completions" for name in ("status-503", "bom+slow", "fine")
        ]


async def test_serve_as_a_busy_deployment() -> None:
    args = ("--rate-limit", "rpm=6,tpm=5000", "--latency", "first=2ms", "--jitter", "20%", "--seed", "1")
    async with running("serve", "--port", "0", *args) as process:
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode() for _ in range(8)]
        assert lines[3] == (
            "each model takes 6 requests per minute (counted over 10 s), 5,000 tokens per minute; "
            "requests beyond that get a 429\n"
        )
        async with InferenceClient(lines[0].split()[2], "emulator-key", model="m", retries=0) as client:
            assert (await client.complete("hello")).text == "hello"
            with pytest.raises(RateLimitError):
                await client.complete("hello")
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert err.decode().splitlines() == ["200 POST /models/chat/completions m", "429 POST /models/chat/completions m"]


@pytest.mark.parametrize("given", ["option", "environment"])
async def test_serve_in_front_of_another_server(given: str) -> None:
    key = "upstream-key-4711"
    args = ("--upstream-key", key) if given == "option" else ()
    env = {"INFERENCE_ASYNC_UPSTREAM_KEY": key} if given == "environment" else {}
    async with (
        Emulator(pace=0, key=key) as behind,
        running("serve", "--port", "0", "--upstream", behind.openai_url, *args, env=env) as process,
    ):
        assert process.stdout is not None
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode() for _ in range(7)]
        assert lines[3].startswith(f"answers come from {behind.openai_url}; press Ctrl-C to stop")
        async with InferenceClient(lines[0].split()[2], "emulator-key", model="m", retries=0) as client:
            assert (await client.stream("hello").final()).text == "hello"
        process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert err == b"200 POST /models/chat/completions m, streamed\n"
    assert key not in f"{lines}{out!r}"


async def test_faults_are_a_line_each_where_they_are_piped() -> None:
    code, out, err = await run("faults")
    assert (code, err) == (0, "")
    assert [line.split(None, 2) for line in out.splitlines()] == [
        [one.name, one.group, one.summary] for one in FAULTS.values()
    ]


async def test_faults_are_grouped_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference_async", "faults"),
        stdin=DEVNULL,
        stdout=theirs,
        stderr=PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # which is how a terminal ends on Linux
        while piece := await asyncio.to_thread(os.read, ours, 65536):
            shown += piece
    os.close(ours)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    lines = [line.rstrip() for line in re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode().splitlines()]
    assert [line for line in lines if line in GROUPS.values()] == list(GROUPS.values())
    assert "gzip-corrupt gzip that turns into garbage" in [" ".join(line.split()) for line in lines]
    assert "--fault gzip+cut-in-chunk" in lines[-1]


async def test_serve_with_a_script_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rules": [{"answer": {"content": "from the script"}}]}')
    async with running("serve", "--port", "0", "--script", str(path)) as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        found = re.search(r"(http\S+)", line)
        assert found
        async with InferenceClient(found[1], "emulator-key", model="m") as client:
            assert (await client.complete("hello")).text == "from the script"
        process.terminate()


async def test_a_script_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rules": [{"answer": {"content": "one"}}]}')
    async with running("serve", "--port", "0", "--pace", "0", "--script", str(path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        head = [await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(7)]
        async with InferenceClient(head[0].decode().split()[2], "emulator-key", model="m") as client:
            said = []
            for text in ('{"rules": 5}', '{"rules": [{"answer": {"content": "two"}}]}'):
                said.append((await client.complete("hello")).text)
                await asyncio.wait_for(process.stderr.readline(), 30)  # of the request
                (tmp_path / "new").write_text(text)
                (tmp_path / "new").replace(path)
                said.append((await asyncio.wait_for(process.stderr.readline(), 30)).decode())
            said.append((await client.complete("hello")).text)
    assert said[0] == said[2] == "one"
    assert said[1].startswith(f"error: '{path}': got no script")
    assert said[1].endswith("; the previous script stays in use\n")
    assert said[3:] == [f"'{path}' has changed, and was read again\n", "two"]


async def test_serve_on_a_port_that_is_taken(emulator: Emulator) -> None:
    port = emulator.url.rpartition(":")[2]
    code, _, err = await run("serve", "--port", port)
    assert code == 1
    assert err == (
        f"error: cannot listen on port {port}: address already in use; choose another, or 0 for any that is free\n"
    )


async def test_serve_with_a_bad_script(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rules": 5}')
    code, _, err = await run("serve", "--script", str(path))
    assert code == 1
    assert err.startswith(f"error: '{path}': got no script: Expected `array`, got `int` - at `$.rules`")


@pytest.mark.parametrize(
    "args",
    [("--help",), ("--version",), *((name, "-h") for name in cli.commands)],
    ids=" ".join,
)
def test_help(args: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, args, prog_name="inference-async")
    assert result.exit_code == 0
    assert "inference-async" in result.output
    if args[-1] == "-h":
        assert "\n    inference-async " in result.output, "an example"
        assert not [line for line in result.output.splitlines() if len(line) > 90]


async def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(\"No module named 'click'\", name='click')\n")
    code, out, err = await run("chat", "hi", env={"PYTHONPATH": str(tmp_path)})
    assert (code, out) == (1, "")
    assert err == "error: the command line needs click; install it with: pip install 'inference-async[cli]'\n"


async def test_what_is_piped_in_comes_after_the_prompt() -> None:
    code, out, _ = await run("chat", "Say this back:", stdin=b"some file\n")
    assert (code, out) == (0, "Say this back:\n\nsome file\n")


async def test_bytes_that_are_no_text_are_replaced() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference_async", "chat", b"a\xffb"), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out.decode()) == (0, "a\ufffdb\n")


@pytest.mark.parametrize(
    ("redirect", "code", "words"),
    [
        ("> /dev/full", 1, "error: the answer cannot be written: no space left on device"),
        (">&-", 1, ""),
        ("<&-", 0, "emulator/demo"),
    ],
)
async def test_streams_that_are_full_or_closed(redirect: str, code: int, words: str) -> None:
    command = f"{sys.executable} -W error -m inference_async chat hello {redirect}"
    process = await asyncio.create_subprocess_shell(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == code
    assert words in err.decode()
    assert "Traceback" not in err.decode()


async def test_ctrl_c_while_it_starts_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    async with running("chat", "hi", env={"PYTHONPATH": str(tmp_path)}) as process:
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (-signal.SIGINT, b"")


async def test_an_empty_answer_says_so(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"rules": [{"answer": {"content": ""}}]}')
    async with Emulator(Script.load(path), pace=0) as emulator:
        env = {"AZURE_INFERENCE_CREDENTIAL": str(emulator.key)}
        code, out, err = await run("chat", "hi", "--model", "m", "--endpoint", emulator.models_url, env=env)
    assert (code, out) == (0, "")
    assert "the answer is empty" in err


async def test_markdown_on_a_terminal(tmp_path: Path) -> None:
    async with in_terminal("chat", "Say **this** and `that`\n\n- one", state=tmp_path) as terminal:
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        await terminal.until("in all")
        assert "Say this and that\r\n\r\n • one\r\n" in terminal.text
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l"), "the cursor is seen"


async def test_reasoning_on_a_terminal(tmp_path: Path) -> None:
    async with in_terminal("chat", "[reasoning] six times seven?", state=tmp_path) as terminal:
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        await terminal.until("in all")
        assert terminal.text.index("two more are 12, so 42.\r") < terminal.text.index("Seven times six is 42.\r\n")


async def test_no_reasoning_where_it_cannot_be_dimmed(tmp_path: Path) -> None:
    async with in_terminal("chat", "[reasoning] ?", state=tmp_path, env={"TERM": "dumb"}) as terminal:
        assert await asyncio.wait_for(terminal.process.wait(), 30) == 0
        await terminal.until("in all")
        assert "so 42." not in terminal.text


async def test_reasoning_is_not_piped() -> None:
    assert (await run("chat", "[reasoning] six times seven?"))[:2] == (0, "Seven times six is 42.\n")


def test_events_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(("chat", "two words", "--raw", "--usage")) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in events if one["choices"]) == "two words"
    assert events[-1]["usage"]["total_tokens"] == 4
    assert "request id" in err


async def test_a_conversation_goes_on_in_another_call(emulator: Emulator, tmp_path: Path) -> None:
    env = {"AZURE_INFERENCE_ENDPOINT": emulator.models_url, "AZURE_INFERENCE_CREDENTIAL": str(emulator.key)}
    file = tmp_path / "talk.json"
    args = ("chat", "one", "--model", "mine", "--system", "be brief", "--save", str(file))
    assert (await run(*args, "--image", "docs/pixel.png", env=env))[:2] == (0, "one\n[image: image/png, 70 bytes]\n")
    code, out, err = await run("chat", "two", "--load", str(file), "--save", str(file), env=env)
    assert (code, out) == (0, "two\n")
    assert err.startswith("emulator/mine, ")
    saved = json.loads(file.read_bytes())
    assert [message["role"] for message in saved["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert saved["model"] == "mine"
    assert str(emulator.key) not in file.read_text()


def test_an_answer_that_fits_a_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "city.json"
    path.write_text(
        '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], '
        '"additionalProperties": false}'
    )
    assert run_here(("chat", "a city", "--json-schema", str(path))) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["name"], str)


async def test_tools_of_a_module_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weather_here.py").write_text('def sky(city: str) -> str:\n    """The sky."""\n    return "grey"\n')
    monkeypatch.chdir(tmp_path)
    code, out, err = await run(
        "chat", "[call-tools]", "--tools", "weather_here:sky", env={"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert (code, out) == (0, 'sky: "grey"\n')
    assert "calls sky {" in err
    assert 'sky returned "grey" after ' in err
