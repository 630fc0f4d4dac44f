from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines import timestamps

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
SECONDS = 1772359200


@pytest.mark.parametrize(
    "value",
    [
        *(SECONDS, SECONDS * 10**3, SECONDS * 10**6, SECONDS * 10**9, float(SECONDS)),
        *(str(SECONDS), f"{SECONDS}.0", f" {SECONDS}000 ", f"{SECONDS}000000", "1.7723592e9"),
        *("2026-03-01T10:00:00Z", "2026-03-01t10:00:00z", "2026-03-01 10:00:00+00:00"),
        *("2026-03-01T11:00:00+0100", "2026-03-01T11:00:00+01", "2026-03-01T04:00:00 -06:00"),
        *("2026-03-01T10:00:00,000Z", "2026-03-01T10:00:00.000000000Z", "2026-03-01T10:00Z"),
        *("20260301T100000Z", "20260301T1000Z", "2026-03-01T10Z", "2026-03-01T100000Z"),
        *("2026-W09-7T10:00:00Z", "2026W097T100000Z", "2026-060T10:00:00Z", "2026060T100000Z"),
        *("2026-03-01T10:00:00+00:00Z", "2026-03-01T11:00:00+01:00[Europe/Berlin]"),
        *("2026-03-01 10:00:00 UTC", "2026-03-01 10:00:00 +0000 UTC", "2026-03-01T05:00:00 EST"),
        *("2026/03/01 10:00 UTC", "2026.3.1 10:00 GMT", "2026-3-1 10:00 Z", "2026-03-01_10:00Z"),
        *("Sun, 01 Mar 2026 10:00:00 GMT", "Sun, 1 Mar 2026 11:00 +0100", "1 Mar 2026 10:00 -0000"),
        *("Sun Mar  1 10:00:00 UTC 2026", "Sun, 01 Mar 2026 05:00:00 EST (New York)"),
        "Sun Mar 01 2026 11:00:00 GMT+0100 (Central European Standard Time)",
        "[01/Mar/2026:10:00:00 +0000]",
        *("01-Mar-2026 10:00:00 UTC", "Sun 2026-03-01 10:00:00 UTC"),
        "March 1, 2026 10:00 AM UTC",
        *("1st March 2026 at 10:00 a.m. UTC", "10:00 UTC on March 1, 2026"),
        *("2026年3月1日 10:00 UTC", "2026-03-01T16:00:00+06:00", "2026-03-01T04:00:00\u221206:00"),
        *("2026-02-28T24:00:00-10:00", "2026-03-01T09:59:60Z"),
        *(TEN, TEN.astimezone(timezone(timedelta(hours=2)))),
    ],
)  # fmt: skip
def test_a_full_time_stamp_is_one_moment(value: Any) -> None:
    assert timestamps.read_timestamp(value) == timestamps.Timestamp(TEN)


LOCAL = ("2026-03-01T10:00:00", "2026-03-01 10:00", "2026/03/01 10:00", "20260301100000", 202603011000)


@pytest.mark.parametrize(
    ("value", "assumed"),
    [
        *((value, timestamps.NO_ZONE) for value in (*LOCAL, "Sun Mar  1 10:00:00 2026", TEN.replace(tzinfo=None))),
        ("01.03.2026 10:00 UTC", timestamps.DAY_FIRST),
    ],
)
def test_what_is_assumed_is_said(value: Any, assumed: str) -> None:
    assert timestamps.read_timestamp(value) == timestamps.Timestamp(TEN, assumed)


@pytest.mark.parametrize(
    "value",
    [
        *("2026-03-01", "20260301", 20260301, "2026-060", "2026-W09-7", "2026/3/1", "1 March 2026"),
        *("Mar 1, 2026", date(2026, 3, 1), "Sunday, March 1st, 2026"),
    ],
)
def test_a_day_is_its_midnight(value: Any) -> None:
    assert timestamps.read_timestamp(value) == timestamps.Timestamp(TEN.replace(hour=0), timestamps.NO_CLOCK)


def test_fractions_and_days_of_figures() -> None:
    expected = TEN + timedelta(microseconds=123456)
    values = (1772359200.123456, "1772359200.123456", 1772359200123456, 1772359200123456789)
    for value in (*values, "2026-03-01T10:00:00.123456789Z", "2026-03-01 10:00:00,123456+00:00"):
        assert timestamps.read_timestamp(value).at == expected
    texts = ("13/04/2026 10:00", "04/13/2026 10:00", "2026-04-13 10:00")
    assert len(set(map(timestamps.moment, texts))) == 1
    equivalents = {"04/04/2026": "2026-04-04", "2026-03-01+01:00": "2026-02-28T23:00Z", "2026-W09": "2026-02-23"}
    assert [timestamps.moment(text) for text in equivalents] == [
        timestamps.moment(text) for text in equivalents.values()
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        *((value, timestamps.AMBIGUOUS) for value in ("03/04/2026", "03-04-2026 10:00:00Z")),
        *((f"2026-03-01 10:00:00 {zone}", timestamps.UNKNOWN_ZONE) for zone in ("CET", "IST")),
        *((value, timestamps.NO_YEAR) for value in ("Mar  1 10:00:00", "01-Mar-26 10:00")),
        *((value, timestamps.IMPOSSIBLE) for value in ("2026-02-30", "2026-03-01T25:00Z", "2026-366", "2026-13-01")),
        *((value, timestamps.IMPOSSIBLE) for value in ("Mon, 01 Mar 2026 10:00:00 GMT", "0001-01-01T00:00:00+23:00")),
        *((value, timestamps.UNKNOWN_UNIT) for value in (0, 17, 1.5, "2026", 10**11, 10**22, "1" * 50, "9" * 90)),
        *((value, timestamps.UNKNOWN_FORM) for value in ("", "soon", "10:00", "2026-03", "yesterday 10:00")),
        *((value, timestamps.UNKNOWN_FORM) for value in (None, True, {}, [1], -1, float("nan"), "x" * 9_000)),
        *((value, timestamps.UNKNOWN_FORM) for value in ("2026-03-01-06:00:00", "1/2/3")),
    ],
)  # fmt: skip
def test_what_is_not_read_has_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(timestamps.TimestampError) as refused:
        timestamps.read_timestamp(value)
    assert (str(refused.value), timestamps.moment(value)) == (reason, None)


MOMENTS = st.datetimes(datetime(2001, 9, 10), datetime(2100, 1, 1), timezones=st.just(UTC), allow_imaginary=False)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_what_programs_write_is_read_back(moment: datetime, minutes: int) -> None:
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert timestamps.read_timestamp(local.isoformat()) == timestamps.Timestamp(moment)
    assert timestamps.read_timestamp(local.strftime("%Y%m%dT%H%M%S.%f%z")).at == moment
    whole_seconds = local.replace(microsecond=0)
    for text in (
        format_datetime(whole_seconds),
        whole_seconds.strftime("%G-W%V-%uT%H:%M:%S%z"),
        whole_seconds.strftime("%d/%b/%Y:%H:%M:%S %z"),
        whole_seconds.strftime("%A, %B %d, %Y %I:%M:%S %p %z"),
        moment.strftime("%a %b %d %H:%M:%S %Y"),
        round(whole_seconds.timestamp()),
        round(whole_seconds.timestamp()) * 1_000,
    ):
        assert timestamps.moment(text) == moment.replace(microsecond=0)


@given(st.text(st.sampled_from("0123456789-/:.,+TZW MarSunEPe年[]()"), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    timestamps.moment(text)
