"""Runs a program that was written for the retired SDK, with changed imports alone."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from inference_async.emulator import Emulator

RETIRED: Final = "azure.ai.inference"
OURS: Final = "inference_async.compat.azure_ai_inference"
HERE: Final = Path(__file__).parent
PROGRAMS: Final = sorted(path.stem for path in (HERE / "programs").glob("*.py"))
PICTURE: Final = HERE.parent.parent / "docs" / "pixel.png"
WAV: Final = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)
KEY: Final = "emulator-key"


@contextlib.asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[dict[str, str]]:
    """An emulator, and the environment in which the programs find it."""
    sound = folder / "sound.wav"
    sound.write_bytes(WAV)
    async with Emulator(key=KEY, pace=0) as emulator:
        yield {
            "AZURE_AI_CHAT_ENDPOINT": emulator.models_url,
            "AZURE_AI_CHAT_KEY": KEY,
            "AZURE_AI_EMBEDDINGS_ENDPOINT": emulator.models_url,
            "AZURE_AI_EMBEDDINGS_KEY": KEY,
            "ONE_MODEL_ENDPOINT": emulator.serverless_url,
            "NOWHERE": "http://127.0.0.1:9",
            "PICTURE": str(PICTURE),
            "SOUND": str(sound),
        }


async def printed(program: str, root: str) -> str:
    """What a program prints with the SDK of one root; its environment is set already."""
    source = (HERE / "programs" / f"{program}.py").read_text()
    changed = re.sub(rf"^from {re.escape(RETIRED)}(?=[. ])", f"from {root}", source, flags=re.MULTILINE)
    assert root == RETIRED or RETIRED not in changed, "its imports are all that is changed"
    names: dict[str, Any] = {"__name__": program}
    output = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(output):
        warnings.simplefilter("ignore", DeprecationWarning)
        exec(compile(changed, f"{program}.py", "exec", dont_inherit=True), names)
        await names["main"]()
    return output.getvalue()


def expected(program: str) -> str:
    """What a program prints, whichever of the two it runs with."""
    return (HERE / "printed" / f"{program}.txt").read_text()
