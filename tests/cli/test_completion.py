"""Completion in shells."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from inference_async.cli.app import cli
from inference_async.cli.completion import SHELLS


def completed(*words: str) -> list[str]:
    complete = ShellComplete(cli, {}, "inference-async", "_INFERENCE_ASYNC_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda _: None)  # which runs bash
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_INFERENCE_ASYNC_COMPLETE={shell}_complete" in result.output.replace("\\\n", "")


def test_values() -> None:
    assert completed("doctor", "--dialect", "m") == ["models", "managed"]
    assert completed("serve", "--fault", "cut-in-c") == ["cut-in-chunk"]
    assert completed("serve", "--fault", "gzip+cut-in-c") == ["gzip+cut-in-chunk"]
    assert "--json-schema" in completed("chat", "--js")


@pytest.mark.parametrize("option", ["--image", "--json-schema", "--save", "--load"])
def test_files(option: str) -> None:
    complete = ShellComplete(cli, {}, "inference-async", "_INFERENCE_ASYNC_COMPLETE")
    assert [item.type for item in complete.get_completions(["chat", option], "x")] == ["file"]


def test_every_option_is_explained() -> None:
    for name, command in cli.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)
        assert command.short_help, name
        assert command.epilog, name
