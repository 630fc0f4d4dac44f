"""Time stamps of every common form as moments in UTC, with the assumptions made; ambiguous ones are refused."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

NO_ZONE = "no zone: taken as UTC"
NO_CLOCK = "no time of day: taken as midnight UTC"
DAY_FIRST = "dots: taken as day, month, year"

AMBIGUOUS = "day and month can be read in two ways"
UNKNOWN_ZONE = "its time zone has several meanings or is not known"
UNKNOWN_UNIT = "a number that is not a time since 1970 in s, ms, µs or ns"
UNKNOWN_FORM = "not a time stamp of a known form"
NO_YEAR = "it has no year of four digits"
IMPOSSIBLE = "there is no such day, weekday or hour"

_MAX_CHARS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = (1, 10**3, 10**6, 10**9)
_FROM, _UNTIL = 10**9, 42 * 10**8
"""Seconds since 1970 that are taken for a time, 2001 to 2103, so that no two units overlap."""

_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE]\+?\d\d?)?")
_RUN_TOGETHER = re.compile(r"((?:19|20|21)\d\d)(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?")
_COLONS = re.compile(r"(?<!\d)(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?![\d:])(?:\s?([AaPp])\.?[Mm]\b\.?)?")
_COMPACT = re.compile(r"(?<=\d)T(\d\d)(?:(\d\d)(?:(\d\d)(?:[.,](\d+))?)?)?()(?!\d)")
_ZONE = re.compile(
    r"\s*(?:([A-Za-z]{1,5})(?![A-Za-z/_]))?"
    r"\s*(?:([+-])(\d\d?)(?::?(\d\d))?(?!\d)(?:\s*[A-Z]{1,5}\b)?)?"
)
_DATE_WITH_ZONE = re.compile(r"(\d{4}-\d\d-\d\d)\s?(Z|[+-]\d\d:\d\d)")
_TRAILING = re.compile(r"\s*(?:\([^()]*\)|(?<=.)\[[^][]*\])$")
_OFFSETS = {"Z": 0, "UTC": 0, "GMT": 0, "UT": 0}
_AMERICAN = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
"""As RFC 5322 defines them; any other abbreviation means several zones."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(r"(mon|tue(?:s)?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s*", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d\d?)\2(\d\d?)|(\d{4})()(\d\d)(\d\d)")
_EAST_ASIAN = re.compile(r"(\d{4})()[年년]\s?(\d\d?)[月월]\s?(\d\d?)[日일]")
_YEAR_LAST = re.compile(r"(\d\d?)([-/.])(\d\d?)\2(\d{4})")
_ORDINAL = re.compile(r"(\d{4})-?(\d{3})")
_WEEK = re.compile(r"(\d{4})-?W(\d\d)(?:-?([1-7]))?")


class TimestampError(ValueError):
    """A value is not a time stamp, or can be read as two; the message is the reason."""


@dataclass(frozen=True)
class Timestamp:
    """A moment in UTC, to the microsecond, and the assumption made in reading it."""

    at: datetime
    assumed: str | None = None


def read_timestamp(value: Any) -> Timestamp:
    """Read a time stamp.

    Args:
        value: Text in ISO 8601 (also weeks and ordinal dates), RFC 5322, as C, web servers or
            JavaScript write it, or with an English month; or a number or its digits, of seconds,
            milliseconds, microseconds or nanoseconds since 1970, distinguished by size.

    Raises:
        TimestampError: it is not one, or can be read as two; the message says which.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str | date):
        raise TimestampError(UNKNOWN_FORM)
    try:
        text = value.isoformat() if isinstance(value, date) else str(value).strip()
        if len(text) > _MAX_CHARS:
            raise TimestampError(UNKNOWN_FORM)
        return _from_digits(text) if _NUMBER.fullmatch(text) else _from_text(text)
    except TimestampError:
        raise
    except (ValueError, OverflowError) as error:
        raise TimestampError(IMPOSSIBLE) from error


def is_timestamp(value: Any) -> bool:
    """Whether a value has the form of a time stamp, also of one that can be read as two."""
    try:
        read_timestamp(value)
    except TimestampError as error:
        return str(error) not in (UNKNOWN_FORM, UNKNOWN_UNIT)
    return True


def moment(value: Any) -> datetime | None:
    try:
        return read_timestamp(value).at
    except TimestampError:
        return None


def _from_digits(text: str) -> Timestamp:
    parts = _RUN_TOGETHER.fullmatch(text)
    if parts:
        day = date(int(parts[1]), int(parts[2]), int(parts[3]))
        clock = _clock(parts[4], parts[5], parts[6], None, None) if parts[4] else None
        return _combine(day, None, clock, None)
    number = Decimal(text)
    for unit in _UNITS:
        if _FROM * unit <= number < _UNTIL * unit:
            return Timestamp(_EPOCH + timedelta(microseconds=int(number * 10**6 / unit)))
    raise TimestampError(UNKNOWN_UNIT)


@lru_cache(maxsize=1024)
def _from_text(text: str) -> Timestamp:
    text = _TRAILING.sub("", text.strip("'\" ").replace("\u2212", "-")).strip("[] ")
    date_and_zone = _DATE_WITH_ZONE.fullmatch(text)
    clock_match = _COLONS.search(text) or _COMPACT.search(text)
    if date_and_zone or clock_match is None:
        zone, _ = _offset(date_and_zone[2]) if date_and_zone else (None, "")
        return _combine(*_date(date_and_zone[1] if date_and_zone else text), None, zone)
    zone, remainder = _offset(text[clock_match.end() :])
    day, assumed = _date(f"{text[: clock_match.start()]} {remainder}")
    return _combine(day, assumed, _clock(*clock_match.groups()), zone)


def _combine(day: date, assumed: str | None, clock: timedelta | None, zone: timedelta | None) -> Timestamp:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    moment_utc = midnight + (clock or timedelta()) - (zone or timedelta())
    if clock is None:
        assumed = assumed or (NO_CLOCK if zone is None else None)
    return Timestamp(moment_utc, assumed or (NO_ZONE if zone is None else None))


def _clock(hour: str, minute: str | None, second: str | None, fraction: str | None, half: str | None) -> timedelta:
    """Time since midnight; second 60 is a leap second, hour 24 the end of the day."""
    hours, minutes, seconds = int(hour), int(minute or 0), int(second or 0)
    if half:
        if not 1 <= hours <= 12:
            raise TimestampError(IMPOSSIBLE)
        hours = hours % 12 + (12 if half in "Pp" else 0)
    if hours > 24 or minutes > 59 or seconds > 60 or (hours == 24 and minutes + seconds):
        raise TimestampError(IMPOSSIBLE)
    micro = int(f"{fraction or ''}000000"[:6])
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)


def _offset(text: str) -> tuple[timedelta | None, str]:
    """The zone at the start of a text as UTC offset (None if missing), and the remainder."""
    zone = _ZONE.match(text)
    if zone is None:  # every part of it may be missing
        return None, text
    name = (zone[1] or "").upper()
    if _MONTH.fullmatch(name.lower()) or _WEEKDAY.fullmatch(name) or name == "ON":
        return None, text
    if name and (name not in _OFFSETS | _AMERICAN or (zone[2] and name not in _OFFSETS)):
        raise TimestampError(UNKNOWN_ZONE)
    remainder = text[zone.end() :]
    if not zone[2]:
        return timedelta(hours=(_OFFSETS | _AMERICAN)[name]) if name else None, remainder
    if int(zone[3]) > 23 or int(zone[4] or 0) > 59:
        raise TimestampError(IMPOSSIBLE)
    size = timedelta(hours=int(zone[3]), minutes=int(zone[4] or 0))
    return size if zone[2] == "+" else -size, remainder


def _date(text: str) -> tuple[date, str | None]:
    text = re.sub(r"(?<=\d)[Tt_:]$", "", text.strip(" ,;")).strip(" ,")
    weekday = _WEEKDAY.match(text)
    text = text[weekday.end() :] if weekday else text
    day, assumed = _day(text)
    if weekday and _WEEKDAYS[day.weekday()] != weekday[1][:3].lower():
        raise TimestampError(IMPOSSIBLE)
    return day, assumed


def _day(text: str) -> tuple[date, str | None]:
    if match := _YEAR_FIRST.fullmatch(text) or _EAST_ASIAN.fullmatch(text):
        year, _, month, day = [part for part in match.groups() if part is not None]
        return date(int(year), int(month), int(day)), None
    if match := _WEEK.fullmatch(text):
        return date.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1)), None
    if match := _ORDINAL.fullmatch(text):
        day_of_year = date(int(match[1]), 1, 1) + timedelta(days=int(match[2]) - 1)
        if day_of_year.year != int(match[1]):
            raise TimestampError(IMPOSSIBLE)
        return day_of_year, None
    if match := _YEAR_LAST.fullmatch(text):
        # one of the two numbers before the year can only be a day; dots are day first
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        if first > 12 or first == second:
            return date(year, second, first), None
        if match[2] == ".":
            return date(year, second, first), DAY_FIRST
        if second > 12:
            return date(year, first, second), None
        raise TimestampError(AMBIGUOUS)
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text.lower()))
    month_names = [word for word in words if _MONTH.fullmatch(word)]
    if len(month_names) != 1:
        raise TimestampError(UNKNOWN_FORM)
    if set(words) - {*month_names, "at", "on", "of", "the"}:
        raise TimestampError(UNKNOWN_ZONE if ":" not in text else UNKNOWN_FORM)
    figures = re.findall(r"\d+", text)
    years = [int(figure) for figure in figures if len(figure) == 4]
    days = [int(figure) for figure in figures if len(figure) <= 2]
    if len(years) != 1:
        raise TimestampError(NO_YEAR)
    if len(days) != 1 or len(figures) != 2:
        raise TimestampError(UNKNOWN_FORM)
    return date(years[0], _MONTHS.index(month_names[0][:3]) + 1, days[0]), None
