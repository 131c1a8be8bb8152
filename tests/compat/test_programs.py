"""Programs written for azure-ai-inference run with changed imports alone, and print what they printed with it.

What they printed is kept in `printed/`; `nox -s peers` holds the retired SDK itself to it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat.running import OURS, PROGRAMS, expected, printed, surroundings


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_program_runs_with_changed_imports_alone(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with surroundings(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert await printed(program, OURS) == expected(program)
