"""The lock of CI is in step with pyproject.toml, and holds names, versions and hashes, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = ROOT / ".ci" / "requirements.txt"
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

pytestmark = pytest.mark.skipif(not LOCK.exists(), reason="a source distribution holds no CI")


def entries() -> list[str]:
    """One text for each release in the lock: name, version, marker, hashes."""
    text = "".join(line for line in LOCK.read_text().splitlines(keepends=True) if not line.startswith("#"))
    return text.replace("\\\n", "").splitlines()


def required() -> Iterator[str]:
    """Everything that pyproject.toml asks for, but for the tools that no check of CI needs."""
    yield from PYPROJECT["build-system"]["requires"]
    yield from PYPROJECT["project"]["dependencies"]
    for rows in PYPROJECT["project"]["optional-dependencies"].values():
        yield from rows
    yield from members("locked")


def members(group: str) -> Iterator[str]:
    for row in PYPROJECT["dependency-groups"][group]:
        if isinstance(row, str):
            yield row
        else:
            yield from members(row["include-group"])


@pytest.mark.parametrize("wanted", sorted(set(required())))
def test_the_lock_satisfies_what_is_asked_for(wanted: str) -> None:
    requirement = Requirement(wanted)
    versions = [
        row["version"]
        for row in (re.match(r"(?P<name>[\w.-]+)==(?P<version>\S+)", entry) for entry in entries())
        if row is not None and canonicalize_name(row["name"]) == canonicalize_name(requirement.name)
    ]
    assert len(versions) == 1, "not in the lock, or not once: run `nox -s lock`"
    assert requirement.specifier.contains(versions[0], prereleases=True), "out of step: run `nox -s lock`"


def test_every_release_has_hashes() -> None:
    release = re.compile(r"[a-z0-9.-]+==[\w.!+]+( ; [^#\\]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    rows = entries()
    assert len(rows) > 50
    assert [row[:80] for row in rows if not release.fullmatch(row)] == []


def test_the_lock_names_no_place() -> None:
    words = ("://", "index-url", "find-links", "trusted-host", " @ ", "file:", "/")
    found = [line for line in LOCK.read_text().splitlines() if any(word in line for word in words)]
    assert found == []
