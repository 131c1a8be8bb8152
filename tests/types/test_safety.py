"""What content safety says, in every shape in which hosts say it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest

from inference_async.types import Citation, ContentFilterResults, FilterResult
from inference_async.types.safety import merged, results_in

BLOCKLIST = {"id": "names", "filtered": True}
TOPIC = {"id": "weather", "detected": True}
SPAN = {"completion_start_offset": 3, "completion_end_offset": 9}

CATEGORIES: dict[str, tuple[Any, FilterResult]] = {
    **{
        name: (
            {"filtered": True, "severity": "high"},
            FilterResult(category=name, filtered=True, severity="high"),
        )
        for name in ("hate", "self_harm", "sexual", "violence")
    },
    **{
        name: (
            {"filtered": False, "detected": True},
            FilterResult(category=name, detected=True),
        )
        for name in ("profanity", "jailbreak", "indirect_attack", "protected_material_text")
    },
    "protected_material_code": (
        {"filtered": True, "detected": True, "citation": {"URL": "https://h.example/r", "license": "MIT"}},
        FilterResult(
            category="protected_material_code",
            filtered=True,
            detected=True,
            citation=Citation(url="https://h.example/r", license="MIT"),
        ),
    ),
    "custom_blocklists": (
        {"filtered": True, "details": [BLOCKLIST]},
        FilterResult(category="custom_blocklists", filtered=True, details=(BLOCKLIST,)),
    ),
    "custom_topics": (
        {"filtered": False, "details": [TOPIC]},
        FilterResult(category="custom_topics", details=(TOPIC,)),
    ),
    "personally_identifiable_information": (
        {"filtered": False, "detected": True, "redacted": False, "sub_categories": []},
        FilterResult(category="personally_identifiable_information", detected=True),
    ),
    "ungrounded_material": (
        {"filtered": False, "detected": True, "details": [SPAN]},
        FilterResult(category="ungrounded_material", detected=True, details=(SPAN,)),
    ),
    "of_next_year": (
        {"filtered": True, "score": 0.5},
        FilterResult(category="of_next_year", filtered=True),
    ),
}


def stripped(result: FilterResult) -> FilterResult:
    """Without what was sent."""
    return FilterResult(
        category=result.category,
        filtered=result.filtered,
        detected=result.detected,
        severity=result.severity,
        citation=result.citation,
        details=result.details,
    )


@pytest.mark.parametrize(("category", "sent", "expected"), [(k, *v) for k, v in CATEGORIES.items()], ids=CATEGORIES)
def test_category(category: str, sent: Any, expected: FilterResult) -> None:
    result = ContentFilterResults({category: sent})[category]
    assert stripped(result) == expected
    assert result.raw is sent


def test_all_categories_at_once_in_their_order() -> None:
    results = ContentFilterResults({name: sent for name, (sent, _) in CATEGORIES.items()})
    assert list(results) == list(CATEGORIES)
    assert results.filtered == (
        "hate",
        "self_harm",
        "sexual",
        "violence",
        "protected_material_code",
        "custom_blocklists",
        "of_next_year",
    )
    assert set(results.detected) == {*CATEGORIES} - {"custom_topics"}


def test_the_other_spelling_of_self_harm() -> None:
    results = ContentFilterResults({"self-harm": {"filtered": True, "severity": "medium"}})
    assert list(results) == ["self_harm"]
    assert results["self_harm"].category == "self_harm"
    assert "self-harm" not in results


@pytest.mark.parametrize(
    ("rows", "filtered"),
    [
        pytest.param([], False, id="no list"),
        pytest.param([{"id": "a", "filtered": False}], False, id="none matched"),
        pytest.param([{"id": "a", "filtered": False}, BLOCKLIST], True, id="one matched"),
        pytest.param([BLOCKLIST, "rubbish", None], True, id="rubbish beside"),
        pytest.param(["rubbish", 5, None, []], False, id="rubbish"),
    ],
)
def test_the_older_shape_of_blocklists(rows: list[Any], filtered: bool) -> None:
    result = ContentFilterResults({"custom_blocklists": rows})["custom_blocklists"]
    assert (result.filtered, result.details, result.detected) == (filtered, tuple(rows), None)
    assert result.raw is rows


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"URL": "u", "license": "l"}, Citation("u", "l"), id="upper case"),
        pytest.param({"url": "u"}, Citation("u", None), id="lower case"),
        pytest.param({"URL": "A", "url": "b"}, Citation("A", None), id="both: the documented one"),
        pytest.param({}, Citation(None, None), id="empty"),
        pytest.param({"URL": 5, "license": ["l"]}, Citation(None, None), id="no text"),
        pytest.param("u", None, id="no object"),
        pytest.param(None, None, id="null"),
    ],
)
def test_citation(sent: Any, expected: Citation | None) -> None:
    results = ContentFilterResults({"protected_material_code": {"citation": sent}})
    assert results["protected_material_code"].citation == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"code": "content_filter_error", "message": "it timed out"}, "it timed out", id="text code"),
        pytest.param({"code": 429, "message": "too busy"}, "too busy", id="int code"),
        pytest.param({"code": "content_filter_error"}, "content_filter_error", id="text code alone"),
        pytest.param({"code": 429, "message": ""}, "429", id="int code alone"),
        pytest.param({}, "unknown", id="nothing said"),
        pytest.param("it broke", "it broke", id="text"),
        pytest.param(None, None, id="null is no error"),
    ],
)
def test_error(sent: Any, expected: str | None) -> None:
    results = ContentFilterResults({"error": sent, "hate": {"filtered": False, "severity": "safe"}})
    assert results.error == expected
    assert results.filtered == ()


def test_no_error() -> None:
    assert ContentFilterResults({"hate": {"filtered": True, "message": "no"}}).error is None
    assert ContentFilterResults().error is None


@pytest.mark.parametrize("value", [5, "filtered", None, True, 0.5], ids=repr)
def test_a_result_that_is_nonsense_is_kept_and_says_nothing(value: Any) -> None:
    results = ContentFilterResults({"hate": value})
    assert results["hate"] == FilterResult(category="hate", raw=value)
    assert (results.filtered, results.detected) == ((), ())


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"detected": "yes"}, id="detected is text"),
        pytest.param({"severity": 4}, id="severity is a number"),
        pytest.param({"severity": ["high"]}, id="severity is a list"),
        pytest.param({"details": {"filtered": True}}, id="details is an object"),
        pytest.param({"filtered": None, "detected": None, "severity": None}, id="nulls"),
    ],
)
def test_fields_that_are_nonsense_say_nothing(sent: dict[str, Any]) -> None:
    results = ContentFilterResults({"hate": sent})
    assert stripped(results["hate"]) == FilterResult(category="hate")
    assert results["hate"].raw is sent
    assert (results.filtered, results.detected) == ((), ())


@pytest.mark.parametrize(
    ("sent", "detected"),
    [
        pytest.param({"severity": "safe"}, False, id="safe"),
        pytest.param({"severity": "low"}, True, id="low"),
        pytest.param({"severity": "catastrophic"}, True, id="a severity of next year"),
        pytest.param({"filtered": True}, True, id="filtered"),
        pytest.param({"detected": True}, True, id="detected"),
        pytest.param({"detected": False, "filtered": False}, False, id="neither"),
        pytest.param({}, False, id="nothing"),
    ],
)
def test_detected(sent: dict[str, Any], detected: bool) -> None:
    assert ContentFilterResults({"hate": sent}).detected == (("hate",) if detected else ())


# ---------------------------------------------------------------------------------------------------------------------
# As a mapping

SENT = {"hate": {"filtered": True, "severity": "high"}, "violence": {"filtered": False, "severity": "safe"}}


@pytest.mark.parametrize("nothing", [None, {}, [], "hate", 5, [{"hate": {}}]], ids=repr)
def test_nothing(nothing: Any) -> None:
    results = ContentFilterResults(nothing)
    assert not results
    assert (len(results), list(results), results.filtered, results.detected, results.error) == (0, [], (), (), None)


def test_mapping() -> None:
    results = ContentFilterResults(SENT)
    assert isinstance(results, Mapping)
    assert bool(results)
    assert len(results) == 2
    assert "hate" in results
    assert "sexual" not in results
    assert results.get("sexual") is None
    assert {name: result.severity for name, result in results.items()} == {"hate": "high", "violence": "safe"}
    with pytest.raises(KeyError):
        results["sexual"]


def test_equality_is_by_content() -> None:
    results = ContentFilterResults(SENT)
    assert results == ContentFilterResults(copy.deepcopy(SENT))
    assert results == dict(results)
    assert results != ContentFilterResults({"hate": SENT["hate"]})
    assert results != ContentFilterResults(SENT | {"hate": {"filtered": False, "severity": "high"}})


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    results = ContentFilterResults({name: sent for name, (sent, _) in CATEGORIES.items()})
    twin = pickle.loads(pickle.dumps(results, protocol))
    assert isinstance(twin, ContentFilterResults)
    assert twin == results
    assert twin["protected_material_code"].citation == Citation("https://h.example/r", "MIT")


def test_deepcopy() -> None:
    results = ContentFilterResults(SENT)
    assert copy.deepcopy(results) == results


def test_repr_shows_what_was_found_and_no_defaults() -> None:
    assert repr(ContentFilterResults()) == "ContentFilterResults({})"
    text = repr(ContentFilterResults({"hate": {"filtered": True}}))
    assert text.startswith("ContentFilterResults({'hate': FilterResult(category='hate', filtered=True")
    assert "severity" not in text


def test_what_was_sent_is_left_alone() -> None:
    sent = copy.deepcopy(SENT)
    ContentFilterResults(sent)
    assert sent == SENT


# ---------------------------------------------------------------------------------------------------------------------
# Finding and merging


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param({"content_filter_results": {"a": 1}}, {"a": 1}, id="of an answer"),
        pytest.param({"content_filter_result": {"a": 1}}, {"a": 1}, id="of an error"),
        pytest.param(
            {"content_filter_result": {"a": 1}, "content_filter_results": {"b": 2}}, {"b": 2}, id="both: of an answer"
        ),
        pytest.param(
            {"content_filter_results": None, "content_filter_result": {"a": 1}}, {"a": 1}, id="null is passed over"
        ),
        pytest.param({"content_filter_results": [1]}, None, id="a list"),
        pytest.param({"content_filter_results": {}}, {}, id="empty"),
        pytest.param({}, None, id="neither"),
    ],
)
def test_results_in(obj: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert results_in(obj) == expected


SAFE = {"filtered": False, "severity": "safe"}
LOW = {"filtered": False, "severity": "low"}
MEDIUM = {"filtered": False, "severity": "medium"}
HIGH = {"filtered": False, "severity": "high"}
CUT = {"filtered": True, "severity": "low"}
FOUND = {"filtered": False, "detected": True}
CLEAR = {"filtered": False, "detected": False}
LISTED = [{"id": "names", "filtered": True}]
UNLISTED = [{"id": "names", "filtered": False}]

WORSE: dict[str, tuple[Any, Any]] = {  # the better one, the worse one
    "low over safe": (SAFE, LOW),
    "medium over low": (LOW, MEDIUM),
    "high over medium": (MEDIUM, HIGH),
    "filtered over severe": (HIGH, CUT),
    "detected over clear": (CLEAR, FOUND),
    "filtered over detected": (FOUND, {"filtered": True}),
    "anything over nonsense": ("nonsense", LOW),
    "a blocklist that matched, in the older shape": (UNLISTED, LISTED),
    "the older shape over the newer": ({"filtered": False, "details": []}, LISTED),
}


@pytest.mark.parametrize(("better", "worse"), WORSE.values(), ids=WORSE)
def test_merged_keeps_the_worse_whatever_the_order(better: Any, worse: Any) -> None:
    assert merged({"hate": better}, {"hate": worse}) == {"hate": worse}
    assert merged({"hate": worse}, {"hate": better}) == {"hate": worse}


def test_merged_keeps_the_later_of_two_equals() -> None:
    assert merged({"hate": SAFE | {"n": 1}}, {"hate": SAFE | {"n": 2}}) == {"hate": SAFE | {"n": 2}}


def test_merged_keeps_what_only_one_has() -> None:
    first, second = {"hate": LOW}, {"violence": HIGH}
    assert merged(first, second) == {"hate": LOW, "violence": HIGH}
    assert (first, second) == ({"hate": LOW}, {"violence": HIGH})
    assert merged({}, {}) == {}


def test_merged_with_a_severity_of_next_year() -> None:
    assert merged({"hate": HIGH}, {"hate": {"severity": ["odd"]}}) == {"hate": HIGH}
