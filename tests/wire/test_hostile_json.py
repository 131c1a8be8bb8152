"""Answers that lie: what a server sends in place of an answer is read right, or refused with an error of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest

from inference_async.errors import APIStatusError, InferenceError, InvalidResponseError, StreamError
from inference_async.policy.limits import Limits
from inference_async.types import ChatCompletionChunk
from inference_async.types.base import plain
from inference_async.wire.accumulate import Accumulator
from inference_async.wire.chunks import ChunkDecoder, Item
from inference_async.wire.response import completion_from, embeddings_from, error_from, model_info_from
from inference_async.wire.sse import ServerSentEvent

ROOT: Final = Path(__file__).parent.parent.parent
URL: Final = "https://h.example/v1"

# The cases of JSONTestSuite (https://github.com/nst/JSONTestSuite) that no parser may accept, under their names.
NOT_JSON: Final[dict[str, bytes]] = {
    "array_1_true_without_comma": b"[1 true]",
    "array_a_invalid_utf8": b"[a\xe5]",
    "array_colon_instead_of_comma": b'["": 1]',
    "array_comma_after_close": b'[""],',
    "array_comma_and_number": b"[,1]",
    "array_double_comma": b"[1,,2]",
    "array_double_extra_comma": b'["x",,]',
    "array_extra_close": b'["x"]]',
    "array_extra_comma": b'["",]',
    "array_incomplete": b'["x"',
    "array_incomplete_invalid_value": b"[x",
    "array_inner_array_no_comma": b"[3[4]]",
    "array_invalid_utf8": b"[\xff]",
    "array_items_separated_by_semicolon": b"[1:2]",
    "array_just_comma": b"[,]",
    "array_just_minus": b"[-]",
    "array_missing_value": b'[   , ""]',
    "array_newlines_unclosed": b'["a",\n4\n,1,',
    "array_number_and_comma": b"[1,]",
    "array_number_and_several_commas": b"[1,,]",
    "array_spaces_vertical_tab_formfeed": b'["\x0ba"\\f]',
    "array_star_inside": b"[*]",
    "array_unclosed": b'[""',
    "array_unclosed_trailing_comma": b"[1,",
    "array_unclosed_with_new_lines": b"[1,\n1\n,1",
    "array_unclosed_with_object_inside": b"[{}",
    "incomplete_false": b"[fals]",
    "incomplete_null": b"[nul]",
    "incomplete_true": b"[tru]",
    "multidigit_number_then_00": b"123\x00",
    "number_++": b"[++1234]",
    "number_+1": b"[+1]",
    "number_+Inf": b"[+Inf]",
    "number_-01": b"[-01]",
    "number_-1.0.": b"[-1.0.]",
    "number_-2.": b"[-2.]",
    "number_-NaN": b"[-NaN]",
    "number_.-1": b"[.-1]",
    "number_.2e-3": b"[.2e-3]",
    "number_0.1.2": b"[0.1.2]",
    "number_0.3e": b"[0.3e]",
    "number_0.3e+": b"[0.3e+]",
    "number_0.e1": b"[0.e1]",
    "number_0_capital_E": b"[0E]",
    "number_0_capital_E+": b"[0E+]",
    "number_0e": b"[0e]",
    "number_0e+": b"[0e+]",
    "number_1.0e": b"[1.0e]",
    "number_1.0e+": b"[1.0e+]",
    "number_1.0e-": b"[1.0e-]",
    "number_1_000": b"[1 000.0]",
    "number_1eE2": b"[1eE2]",
    "number_2.e+3": b"[2.e+3]",
    "number_2.e-3": b"[2.e-3]",
    "number_2.e3": b"[2.e3]",
    "number_9.e+": b"[9.e+]",
    "number_Inf": b"[Inf]",
    "number_NaN": b"[NaN]",
    "number_U+FF11_fullwidth_digit_one": "[\uff11]".encode(),
    "number_expression": b"[1+2]",
    "number_hex_1_digit": b"[0x1]",
    "number_hex_2_digits": b"[0x42]",
    "number_infinity": b"[Infinity]",
    "number_invalid+-": b"[0e+-1]",
    "number_invalid-negative-real": b"[-123.123foo]",
    "number_invalid-utf-8-in-bigger-int": b"[123\xe5]",
    "number_invalid-utf-8-in-exponent": b"[1e1\xe5]",
    "number_invalid-utf-8-in-int": b"[0\xe5]\n",
    "number_minus_infinity": b"[-Infinity]",
    "number_minus_sign_with_trailing_garbage": b"[-foo]",
    "number_minus_space_1": b"[- 1]",
    "number_neg_int_starting_with_zero": b"[-012]",
    "number_neg_real_without_int_part": b"[-.123]",
    "number_neg_with_garbage_at_end": b"[-1x]",
    "number_real_garbage_after_e": b"[1ea]",
    "number_real_with_invalid_utf8_after_e": b"[1e\xe5]",
    "number_real_without_fractional_part": b"[1.]",
    "number_starting_with_dot": b"[.123]",
    "number_with_alpha": b"[1.2a-3]",
    "number_with_alpha_char": b"[1.8011670033376514H-308]",
    "number_with_leading_zero": b"[012]",
    "object_bad_value": b'["x", truth]',
    "object_bracket_key": b'{[: "x"}\n',
    "object_comma_instead_of_colon": b'{"x", null}',
    "object_double_colon": b'{"x"::"b"}',
    "object_emoji": "{\U0001f1e8\U0001f1ed}".encode(),
    "object_garbage_at_end": b'{"a":"a" 123}',
    "object_key_with_single_quotes": b"{key: 'value'}",
    "object_lone_continuation_byte_in_key_and_trailing_comma": b'{"\xb9":"0",}',
    "object_missing_colon": b'{"a" b}',
    "object_missing_key": b'{:"b"}',
    "object_missing_semicolon": b'{"a" "b"}',
    "object_missing_value": b'{"a":',
    "object_no-colon": b'{"a"',
    "object_non_string_key": b"{1:1}",
    "object_non_string_key_but_huge_number_instead": b"{9999E9999:1}",
    "object_repeated_null_null": b"{null:null,null:null}",
    "object_several_trailing_commas": b'{"id":0,,,,,}',
    "object_single_quote": b"{'a':0}",
    "object_trailing_comma": b'{"id":0,}',
    "object_trailing_comment": b'{"a":"b"}/**/',
    "object_trailing_comment_open": b'{"a":"b"}/**//',
    "object_trailing_comment_slash_open": b'{"a":"b"}//',
    "object_trailing_comment_slash_open_incomplete": b'{"a":"b"}/',
    "object_two_commas_in_a_row": b'{"a":"b",,"c":"d"}',
    "object_unquoted_key": b'{a: "b"}',
    "object_unterminated-value": b'{"a":"a',
    "object_with_single_string": b'{ "foo" : "bar", "a" }',
    "object_with_trailing_garbage": b'{"a":"b"}#',
    "single_space": b" ",
    "string_1_surrogate_then_escape": b'["\\uD800\\"]',
    "string_1_surrogate_then_escape_u": b'["\\uD800\\u"]',
    "string_1_surrogate_then_escape_u1": b'["\\uD800\\u1"]',
    "string_1_surrogate_then_escape_u1x": b'["\\uD800\\u1x"]',
    "string_accentuated_char_no_quotes": "[\xe9]".encode(),
    "string_backslash_00": b'["\\\x00"]',
    "string_escape_x": b'["\\x00"]',
    "string_escaped_backslash_bad": b'["\\\\\\"]',
    "string_escaped_ctrl_char_tab": b'["\\\t"]',
    "string_escaped_emoji": '["\\\U0001f300"]'.encode(),
    "string_incomplete_escape": b'["\\"]',
    "string_incomplete_escaped_character": b'["\\u00A"]',
    "string_incomplete_surrogate": b'["\\uD834\\uDd"]',
    "string_incomplete_surrogate_escape_invalid": b'["\\uD800\\uD800\\x"]',
    "string_invalid-utf-8-in-escape": b'["\\u\xe5"]',
    "string_invalid_backslash_esc": b'["\\a"]',
    "string_invalid_unicode_escape": b'["\\uqqqq"]',
    "string_invalid_utf8_after_escape": b'["\\\xe5"]',
    "string_leading_uescaped_thinspace": b'[\\u0020"asd"]',
    "string_no_quotes_with_bad_escape": b"[\\n]",
    "string_single_doublequote": b'"',
    "string_single_quote": b"['single quote']",
    "string_single_string_no_double_quotes": b"abc",
    "string_start_escape_unclosed": b'["\\',
    "string_unescaped_ctrl_char": b'["a\x00a"]',
    "string_unescaped_newline": b'["new\nline"]',
    "string_unescaped_tab": b'["\t"]',
    "string_unicode_CapitalU": b'"\\UA66D"',
    "string_with_trailing_garbage": b'""x',
    "structure_100000_opening_arrays": b"[" * 100_000,
    "structure_U+2060_word_joined": "[\u2060]".encode(),
    "structure_UTF8_BOM_no_data": b"\xef\xbb\xbf",
    "structure_angle_bracket_.": b"<.>",
    "structure_angle_bracket_null": b"[<null>]",
    "structure_array_trailing_garbage": b"[1]x",
    "structure_array_with_extra_array_close": b"[1]]",
    "structure_array_with_unclosed_string": b'["asd]',
    "structure_ascii-unicode-identifier": "a\xe5".encode(),
    "structure_capitalized_True": b"[True]",
    "structure_close_unopened_array": b"1]",
    "structure_comma_instead_of_closing_brace": b'{"x": true,',
    "structure_double_array": b"[][]",
    "structure_end_array": b"]",
    "structure_incomplete_UTF8_BOM": b"\xef\xbb{}",
    "structure_lone-invalid-utf-8": b"\xe5",
    "structure_lone-open-bracket": b"[",
    "structure_no_data": b"",
    "structure_null-byte-outside-string": b"[\x00]",
    "structure_number_with_trailing_garbage": b"2@",
    "structure_object_followed_by_closing_object": b"{}}",
    "structure_object_unclosed_no_value": b'{"":',
    "structure_object_with_comment": b'{"a":/*comment*/"b"}',
    "structure_object_with_trailing_garbage": b'{"a": true} "x"',
    "structure_open_array_apostrophe": b"['",
    "structure_open_array_comma": b"[,",
    "structure_open_array_object": b'[{"":' * 50_000,
    "structure_open_array_open_object": b"[{",
    "structure_open_array_open_string": b'["a',
    "structure_open_array_string": b'["a"',
    "structure_open_object": b"{",
    "structure_open_object_close_array": b"{]",
    "structure_open_object_comma": b"{,",
    "structure_open_object_open_array": b"{[",
    "structure_open_object_open_string": b'{"a',
    "structure_open_object_string_with_apostrophes": b"{'a'",
    "structure_open_open": b'["\\{["\\{["\\{["\\{',
    "structure_single_eacute": b"\xe9",
    "structure_single_star": b"*",
    "structure_trailing_#": b'{"a":"b"}#{}',
    "structure_uescaped_LF_before_string": b'[\\u000A""]',
    "structure_unclosed_array": b"[1",
    "structure_unclosed_array_partial_null": b"[ false, nul",
    "structure_unclosed_array_unfinished_false": b"[ true, fals",
    "structure_unclosed_array_unfinished_true": b"[ false, tru",
    "structure_unclosed_object": b'{"asd":"asd"',
    "structure_unicode-identifier": "\xe5".encode(),
    "structure_whitespace_U+2060_word_joiner": "\u2060".encode(),
    "structure_whitespace_formfeed": b"[\x0c]",
}


def refused(error: InferenceError) -> None:
    """An error of ours, fit to be shown."""
    said = str(error)
    said.encode()
    assert len(said) <= 2048 + 512
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in said)
    body = getattr(error, "body", "")
    assert len(body) <= 65_536 if isinstance(error, APIStatusError) else len(body) <= 2048


def items_of(data: bytes, **limits: int) -> list[Item]:
    return ChunkDecoder(limits=Limits(**limits)).decode([ServerSentEvent(data)])


def readers() -> list[Any]:
    return [completion_from, embeddings_from, model_info_from]


def encodable(value: Any) -> None:
    json.dumps(plain(value), ensure_ascii=False).encode()


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_no_json_is_no_answer(data: bytes) -> None:
    for read in readers():
        with pytest.raises(InvalidResponseError) as caught:
            read(status=200, headers={}, body=data, url=URL)
        refused(caught.value)
    refused(error_from(status=500, headers={}, body=data, url=URL))
    within = b'{"choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"a"}}],"x":' + data + b"}"
    for outer in (data, within):
        items = items_of(outer)
        if outer.strip():
            # A gateway that glues objects together is believed up to what is none: a chunk may come before the error.
            *before, error = items
            assert isinstance(error, StreamError)
            assert not before or outer.startswith(b"{")
            refused(error)
        else:
            assert items == []  # a heartbeat
        for item in ChunkDecoder().last(ServerSentEvent(outer)):
            assert not isinstance(item, ChatCompletionChunk), item
    with pytest.raises(InvalidResponseError):
        completion_from(status=200, headers={}, body=within, url=URL)


def at(path: tuple[str | int, ...], value: Any, whole: Any) -> Any:
    """The whole with the value at a place."""
    if not path:
        return value
    copy: Any = dict(whole) if isinstance(whole, dict) else list(whole)
    copy[path[0]] = at(path[1:], value, copy[path[0]])
    return copy


CALL: Final = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOKEN: Final = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -1.0}]}
SAID: Final = {"role": "assistant", "content": "hi", "tool_calls": [CALL], "refusal": "no", "annotations": [{}]}
WHOLE: Final[dict[str, Any]] = {
    "id": "i",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": SAID,
            "delta": SAID,
            "finish_reason": "stop",
            "logprobs": {"content": [TOKEN]},
            "content_filter_results": {"hate": {"filtered": False}},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [place for name, item in value.items() for place in places(item, (*path, name))]
    elif isinstance(value, list):
        found += [place for index, item in enumerate(value) for place in places(item, (*path, index))]
    return found


LIES: Final[dict[str, bytes]] = {
    "null": b"null",
    "list": b"[]",
    "list of lists": b"[[1]]",
    "list of null": b"[null]",
    "object": b"{}",
    "object of odd things": b'{"x":[null,{"y":1}]}',
    "text": b'"text"',
    "empty text": b'""',
    "half a pair": b'"\\ud800"',
    "true": b"true",
    "number": b"1",
    "negative": b"-1",
    "fraction": b"1.5",
    "more than a double": b"1e999",
    "more than 64 bits": b"18446744073709551616",
    "5,000 digits": b"9" * 5_000,
    "1,000,000 digits": b"9" * 1_000_000,
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "bad UTF-8": b'"\xff\xfe"',
    "deep": b"[" * 70 + b"]" * 70,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_at_any_place(lie: bytes) -> None:
    few: list[tuple[str | int, ...]] = [("created",), ("choices", 0, "index"), ("choices", 0, "delta")]
    for path in places(WHOLE) if len(lie) < 10_000 else few:
        body = json.dumps(at(path, "@", WHOLE)).encode().replace(b'"@"', lie)
        for read in readers():
            try:
                encodable(read(status=200, headers={}, body=body, url=URL))
            except InferenceError as error:
                refused(error)
        whole = Accumulator()
        for item in items_of(body):
            if isinstance(item, ChatCompletionChunk):
                whole.add(item)
                encodable(whole.completion)
                repr(whole.completion)
            elif isinstance(item, StreamError):
                refused(item)


GOOD: Final = b'{"choices":[{"index":0,"message":{"content":"hi"},"delta":{"content":"hi"}}]}'
HARMLESS: Final[dict[str, bytes]] = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "white space": b"\r\n\t " + GOOD + b"\n\n",
    "duplicate keys": GOOD.replace(b'"content":"hi"', b'"content":"no","content":"hi"'),
    "unknown fields": GOOD[:-1] + b',"x":{"y":[1e5,null]}}',
    "null": GOOD[:-1] + b',"usage":null,"created":null,"model":null}',
    "index as text": GOOD.replace(b'"index":0', b'"index":"0"'),
    "created as a fraction": GOOD[:-1] + b',"created":1718726686.0}',
    "usage of nonsense": GOOD[:-1] + b',"usage":[1]}',
    "unknown integer of 100 digits": GOOD[:-1] + b',"x":' + b"9" * 100 + b"}",
}


@pytest.mark.parametrize("body", HARMLESS.values(), ids=HARMLESS)
def test_harmless_damage_is_read(body: bytes) -> None:
    assert completion_from(status=200, headers={}, body=body, url=URL).text == "hi"
    if not body.startswith(b"\xef"):  # of a stream, the mark is the event decoder's
        (chunk,) = items_of(body)
        assert isinstance(chunk, ChatCompletionChunk)
        assert chunk.text == "hi"


def test_a_small_stack_survives_any_depth() -> None:
    """Ten million levels in a thread with a stack of 64 KiB, and with a recursion limit that protects nothing."""
    program = """
        import sys, threading
        from inference_async.errors import InferenceError
        from inference_async.structured import Mismatch, decoder_of
        from inference_async.tools import tool
        from inference_async.wire import response
        from inference_async.wire.accumulate import Accumulator
        from inference_async.wire.chunks import ChunkDecoder
        from inference_async.wire.sse import ServerSentEvent
        from inference_async.types import ChatCompletionChunk

        @tool
        def act(x: object = None) -> None:
            "Acts."

        sys.setrecursionlimit(10**6)
        head, tail = b'{"choices":[{"delta":{"content":', b"}}]}"
        bodies = []
        for levels in (64, 100, 150, 200, 320, 1000, 100_000, 10_000_000):
            for opened, closed in ((b"[", b"]"), (b'{"":', b"}"), (b'{"a":[', b"]}")):
                units = levels // len(closed)
                whole = opened * units + b"1" + closed * units
                bodies += [opened * units, whole]
                if levels < 100_000:
                    bodies += [b'{"choices":[{"delta":{"content":' + whole + b"}}]}", b'{"x":' + whole + b"}"]

        def run():
            for body in bodies:
                for read in (response.completion_from, response.embeddings_from, response.model_info_from):
                    try:
                        read(status=200, headers={}, body=body, url="https://h")
                    except InferenceError:
                        pass
                str(response.error_from(status=500, headers={}, body=body, url="https://h"))
                for name in ("message", "error"):
                    whole = Accumulator()
                    for item in ChunkDecoder().decode([ServerSentEvent(body, name)]):
                        if isinstance(item, ChatCompletionChunk):
                            whole.add(item)
                            repr(whole.completion.to_dict())
                if len(body) < 100_000:
                    for decode in (decoder_of(object), act.parse):
                        try:
                            decode(body.decode())
                        except Mismatch:
                            pass
            print("survived")

        threading.stack_size(64 * 1024)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr[-2000:]
