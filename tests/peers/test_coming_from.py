"""The programs on the pages for people who come from other clients, run with those clients."""

from __future__ import annotations

import pytest

from inference_async.emulator import Emulator
from tests.compat.running import OURS, RETIRED
from tests.test_coming_from import printed, program


@pytest.mark.parametrize("page", ["azure-ai-inference", "openai"])
async def test_before_and_after_print_the_same(page: str) -> None:
    async with Emulator(pace=0) as emulator:
        before = await printed(program(page, "before").replace(OURS, RETIRED), emulator)
        after = await printed(program(page, "after"), emulator)
    assert before == after
