import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cortex_pipelines.coordination.json_scanner import MAX_DEPTH, WAITING, ByteSpan, scan
from cortex_pipelines_tests.parameters import PROPERTY_STEPS

_plain = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False)
)
_values = st.recursive(
    _plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_records = st.dictionaries(st.text(max_size=6), _values, min_size=1, max_size=4)
_pieces = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b" ", b"{}", b'{"a":1}', b'{"a":{"b":', b"tru"),
        *(b"NaN", b"1e999", b"\xff", b"\xc3\xa9", b"\x00", b"// log restarted", b'"\\ud800"'),
    ]
)
_any_bytes = st.lists(_pieces, max_size=25).map(b"".join) | st.binary(max_size=60)


def dumped(record: dict[str, object], pretty: bool, ascii_only: bool) -> bytes:
    return json.dumps(record, indent=2 if pretty else None, ensure_ascii=ascii_only).encode()


def kinds(data: bytes) -> list[str]:
    return [span.kind for span in scan(data) if span.kind != "blank"]


def records(data: bytes) -> list[object]:
    return [span.value for span in scan(data) if span.kind == "record"]


def check_tiles(data: bytes) -> list[ByteSpan]:
    spans = list(scan(data))
    position = 0
    for span in spans:
        assert span.start == position < span.end
        position = span.end
        raw = data[span.start : span.end]
        if span.kind == "record":
            assert json.loads(raw) == span.value != {}
        elif span.kind == "empty":
            assert json.loads(raw) == {}
        elif span.kind == "blank":
            assert raw.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n") == b""
        else:
            assert span.reason
            assert raw == raw.strip(b" \t\r\n") or span.kind == "waiting"
    assert position == len(data)
    return spans


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_any_bytes)
@example(b'{"a":1 {"b":2}\n{"c":3}')
@example(b"{{{{{")
@example(b"\xef\xbb\xbf{}")
def test_stretches_tile_any_bytes_and_say_what_they_are(data: bytes) -> None:
    check_tiles(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(_records, st.booleans(), st.booleans()), min_size=1, max_size=6),
    st.sampled_from([b"", b"\n", b"\r\n", b" ", b"{}", b"\n{}{}\n"]),
)
def test_every_record_is_found_whatever_glues_them(items, glue: bytes) -> None:
    spans = check_tiles(glue.join([dumped(record, pretty, ascii_only) for record, pretty, ascii_only in items]))
    assert [s.value for s in spans if s.value is not None] == [item[0] for item in items]
    assert all(s.kind != "rejected" for s in spans)


def test_the_objects_of_a_list_are_records() -> None:
    assert records(b'[{"a": 1},\n {"b": 2}]\n') == [{"a": 1}, {"b": 2}]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_records, st.booleans(), st.data())
def test_the_beginning_of_a_record_waits_for_its_rest(record, pretty: bool, data: st.DataObject) -> None:
    full_text = dumped(record, pretty, ascii_only=True)
    cut = data.draw(st.integers(1, len(full_text) - 1))
    before = b'{"before": 1}\n'
    spans = check_tiles(before + full_text[:cut])
    assert spans[0].value == {"before": 1}
    assert (spans[-1].kind, spans[-1].reason) == ("waiting", WAITING)
    assert spans[-1].start == len(before)
    assert records(before + full_text) == [{"before": 1}, record]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(_records, min_size=1, max_size=4),
    st.sampled_from(
        [
            *(b"worker-3 lost connection", b"{oops}", b'{"a": }', b'{"a": 1,}', b'{"cut": {"b": 1', b'{"cut": "unfin'),
            *(b'"a string"', b"[1, 2]", b'{"bad": "\xff"}', b"}", b"]", b'{"n": NaN}', b'{"n": 1e999}'),
            b'{"a" 1 "b" {"c": 2}}',
        ]
    ),
    st.booleans(),
)
def test_broken_text_on_a_line_of_its_own_costs_only_that_line(items, broken: bytes, pretty: bool) -> None:
    data = broken + b"\n" + b"\n".join([dumped(item, pretty, ascii_only=True) for item in items])
    spans = check_tiles(data)
    assert [s.value for s in spans if s.value is not None] == items
    rejected = [s for s in spans if s.kind == "rejected"]
    assert b"".join(data[s.start : s.end] for s in rejected).replace(b" ", b"") == broken.replace(b" ", b"")


def test_a_broken_record_in_a_glued_run_costs_only_itself() -> None:
    data = b'{"a":1}{"b": tru}{"c":3}{"d": {"e": 1}{"f":6}{}{"g":7}'
    assert records(data) == [{"a": 1}, {"c": 3}, {"f": 6}, {"g": 7}]
    assert kinds(data) == ["record", "rejected", "record", "rejected", "record", "empty", "record"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": "\xff\xfe"}', "not UTF-8: byte 0xff at 7"),
        (b'{"a": Infinity}', "Infinity is not a JSON value"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "out of range"),
        (b'{"a": "tab\there"}', "Invalid control character"),
        (b"[1, 2]", "outside of a JSON object"),
        (b"2025-11-04 ERROR", "outside of a JSON object"),
        (b'{"a": 1,, "b": 2}', "at byte"),
    ],
)
def test_the_reason_is_given_in_words(data: bytes, reason: str) -> None:
    (span,) = scan(data)
    assert span.kind == "rejected"
    assert reason in span.reason


def test_depth_is_limited_by_a_number_and_not_by_the_stack() -> None:
    assert kinds(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH) == ["record"]
    for levels in (MAX_DEPTH + 1, 5_000, 100_000):
        data = b'{"a":' * levels + b"1" + b"}" * levels + b'\n{"next": 1}'
        assert kinds(data) == ["rejected", "record"]
        assert "nested deeper" in next(scan(data)).reason
    assert kinds(json.dumps({"a": "[" * 5_000}).encode()) == ["record"]


@pytest.mark.parametrize(
    "unit", [b"{", b'{"a" ', b'{"a": [', b"[", b'"', b'{"a": tru', b"}{", b'{"a":"\n', b"[1,\n", b'{"":{']
)
def test_hostile_repetition_yields_few_steps(unit: bytes) -> None:
    assert len(check_tiles(unit * 5_000)) <= 15_001


@settings(max_examples=3 * PROPERTY_STEPS, suppress_health_check=[HealthCheck.too_slow])
@given(_any_bytes, st.data())
@example(b'{"a": [\n{"b":1}\n]}', None)
@example(b'{"a": "}{', None)
def test_a_scan_goes_on_where_a_shorter_log_was_settled(data: bytes, draw: st.DataObject | None) -> None:
    cuts = [draw.draw(st.integers(0, len(data)))] if draw else range(len(data))
    full_scan = list(scan(data))
    for cut in cuts:
        before = []
        for span in scan(data[:cut]):
            if not span.settled:
                break
            before.append(span)
        assert before + list(scan(data, before[-1].end if before else 0)) == full_scan


def test_all_but_the_end_of_a_sound_log_is_settled() -> None:
    assert [span.settled for span in list(scan(b'{"a":1}\nnoise\n{"b": 2}\n{"c"'))] == [True] * 6 + [False]
