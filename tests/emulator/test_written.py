"""Values as they are written on a command line."""

from __future__ import annotations

import pytest

from inference_async import ConfigurationError
from inference_async.emulator.written import pairs, seconds_of, share_of, whole_of


def test_pairs_in_any_order_with_spaces() -> None:
    assert pairs("b=2, a = 1", ("a", "b"), "a=1,b=2") == {"a": "1", "b": "2"}


@pytest.mark.parametrize("text", ["", "a", "a:1", "c=1", "a=1,a=2", "a=1,", "=1", "a=1;b=2,c=3"])
def test_other_forms_are_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected the form a=1,b=2, each name at most once"):
        pairs(text, ("a", "b"), "a=1,b=2")


@pytest.mark.parametrize(
    ("text", "seconds"), [("400ms", 0.4), ("25ms", 0.025), ("1s", 1), ("1.5s", 1.5), ("0s", 0), (" 2s ", 2)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "400", "ms", "-1s", "1m", "nans", "infs", "1e3s", "1 s", "1.s", "٣s", "9" * 99 + "s"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a duration with its unit"):
        seconds_of(text)


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0%", 0), ("12.5%", 0.125), ("100%", 1)])
def test_percentages(text: str, share: float) -> None:
    assert share_of(text) == share


@pytest.mark.parametrize("text", ["", "20", "0.2", "-5%", "%", "nan%", "1e1%"])
def test_no_percentages(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a percentage"):
        share_of(text)


def test_whole_numbers() -> None:
    assert whole_of(" 10000 ") == 10_000


@pytest.mark.parametrize("text", ["", "1.5", "-1", "1_000", "1e3", "many", "9" * 5000])
def test_no_whole_numbers(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a whole number"):
        whole_of(text)
