"""What runs on other people's machines: pinned, without rights it does not need, and in step with the lock."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="a source distribution holds no CI")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_but_what_its_jobs_name_and_runs_nothing_that_may_change(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert [row for row in re.findall(r"uses: (.*)", text) if not PINNED.fullmatch(row)] == []
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert "secrets." not in text
    assert "pull_request_target" not in text


def test_nothing_but_publishing_may_write() -> None:
    written = {path.name: re.findall(r"([\w-]+): write", path.read_text()) for path in WORKFLOWS}
    assert {name: rights for name, rights in written.items() if rights} == {"release.yml": ["id-token"]}


def test_an_action_has_one_version() -> None:
    pins = {row for path in WORKFLOWS for row in re.findall(r"uses: (.*)", path.read_text())}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


def test_what_looks_before_a_commit_is_what_looks_in_ci() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    (locked,) = re.findall(r"^ruff==(\S+)", (ROOT / ".ci" / "requirements.txt").read_text(), re.MULTILINE)
    assert set(re.findall(r"ruff==([\d.]+)", hooks)) == {locked}
    assert re.search(r"typos==\d+\.\d+\.\d+", hooks)
