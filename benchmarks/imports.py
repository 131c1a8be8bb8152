"""What an import costs: seconds of CPU, instructions, and the modules that it loads.

Each is done in a fresh interpreter, several times, in turn; the start of the interpreter itself is not counted.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from .measure import HAS_VALGRIND, counted, run, run_json

FACE = "inference_async"
CLIENT = "inference_async, a client made"
BELOW = "aiohttp, msgspec, anyio"
STATEMENTS = {
    FACE: "import inference_async",
    CLIENT: "from inference_async import InferenceClient; InferenceClient('http://127.0.0.1:1/v1', 'k', model='m')",
    BELOW: "import aiohttp, msgspec, anyio",
    "aiohttp": "import aiohttp",
    "azure-ai-inference": "from azure.ai.inference.aio import ChatCompletionsClient as C; "
    "from azure.core.credentials import AzureKeyCredential as K; C('http://127.0.0.1:1', K('k'))",
    "openai": "import openai; openai.AsyncOpenAI(api_key='k')",
    "litellm": "import litellm",
}
COUNTED = (FACE, CLIENT, BELOW)  # the others would take minutes under valgrind
PROGRAM = """
import os, sys, time
before, cpu, clock = len(sys.modules), time.process_time(), time.perf_counter()
os.getsid(0)
{statement}
os.getsid(0)
cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
print([cpu * 1000, clock * 1000, len(sys.modules) - before])
"""


def command(statement: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(statement=statement)]


def modules(statement: str) -> set[str]:
    """What a statement loads in a fresh interpreter."""
    code = f"import json, sys\nbefore = set(sys.modules)\n{statement}\nprint(json.dumps([*set(sys.modules) - before]))"
    return set(json.loads(run([sys.executable, "-c", code])))


def figures(name: str, rounds: list[list[float]]) -> dict[str, Any]:
    cpu, clock, loaded = zip(*rounds, strict=True)
    found: dict[str, Any] = {
        "CPU ms": [statistics.median(cpu), min(cpu), max(cpu)],
        "ms": [statistics.median(clock), min(clock), max(clock)],
        "modules": int(loaded[0]),
    }
    if HAS_VALGRIND and name in COUNTED:
        found["instructions"] = counted(command(STATEMENTS[name]))[0]
    return found


def measure(rounds: int) -> dict[str, dict[str, Any]]:
    """Of each import that is possible here."""
    possible: dict[str, list[list[float]]] = {}
    for name, statement in STATEMENTS.items():
        try:
            run(command(statement))  # and its bytecode is written
        except Exception:
            print(f"{name} cannot be imported, and is left out")
        else:
            possible[name] = []
    for _ in range(rounds):
        for name, taken in possible.items():
            taken.append(run_json(command(STATEMENTS[name])))
    return {name: figures(name, taken) for name, taken in possible.items()}
