"""Derive one interaction from the events about each completion, independent of their order.

The rules, and why, stand in ``docs/guides/feedback.md``.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cortex_pipelines.feedback.events import HORIZONS, FeedbackEvent
from cortex_pipelines.schemas.feedback import INTERACTIONS, OUTCOMES

_FACTS = ("project", "language", "task", "version", "arm", "propensity", "latency_ms", "path", "original")
_ACCEPTED = ("accepted", "partly_accepted")
_NOT_ACCEPTED = ("typed_instead", "dismissed")
_OF_READERS = frozenset({"shown", *_ACCEPTED, *_NOT_ACCEPTED, "edited", "retained"})
"""Kinds that say that somebody could take the completion; a vote or a correction does not."""

_LOOKED_AT_COMMITS = ("git", "simulation")
_OF_WHOLE = frozenset({"offered", "shown", "accepted", "typed_instead", "dismissed"})
"""Kinds whose ``characters`` are the length of the whole completion."""

_FIRST, _LAST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))
_COLUMNS = dict(zip(HORIZONS, ("retained_30s", "retained_5min", "retained_1h"), strict=True))


def build_interactions(events: Iterable[FeedbackEvent], consent: Collection[str]) -> pl.DataFrame:
    """What became of each completion, by events in any order and with any repetitions."""
    by_completion: defaultdict[str, set[FeedbackEvent]] = defaultdict(set)
    for event in events:
        by_completion[event.completion_id].add(event)
    rows = (_interaction(name, by_completion[name]) for name in sorted(by_completion))
    return INTERACTIONS.frame([row for row in rows if row["project"] in consent])


def _interaction(name: str, unordered: Iterable[FeedbackEvent]) -> dict[str, Any]:
    # by time, those without one last; then by content, which is the same everywhere
    events = sorted(unordered, key=lambda event: (event.at or _LAST, event.line))
    kinds = {event.kind for event in events}
    was_shown = not kinds.isdisjoint(_OF_READERS)
    outcome_kinds = kinds | ({"shown"} if was_shown else {"offered"})
    # whoever wrote the completion knows best what it is, then who said so first
    trusted = sorted(events, key=lambda event: (event.kind != "offered", event.source != "gateway"))
    facts = {fact: _first(trusted, fact) for fact in _FACTS}
    facts["characters"] = _first((event for event in trusted if event.kind in _OF_WHOLE), "characters")
    accepted, partly = (kind in kinds for kind in _ACCEPTED)
    accepted_characters = _accepted_characters(events, facts["characters"]) if accepted or partly else None
    retained = _retained(events, accepted_characters) if accepted or partly else {}
    # the last ones that have a time; without any, the last by content, and a vote down where two come at once
    corrections = [event for event in events if event.kind == "corrected" and event.corrected is not None]
    correction = max(corrections, key=lambda event: (event.at or _FIRST, event.line), default=None)
    original = correction.original if correction and correction.original is not None else facts["original"]
    corrected = correction.corrected if correction else None
    votes = [event for event in events if event.rating is not None]
    vote = max(votes, key=lambda event: (event.at or _FIRST, event.rating == "down"), default=None)
    shrunk = any(accepted_characters is not None and count < accepted_characters for count in retained.values())
    changed = accepted and corrected is not None and corrected != original
    return {
        **facts,
        "completion_id": name,
        "sources": sorted({event.source for event in events}),
        "simulated": any(event.simulated for event in events),
        "user": next((event.unit for event in events if event.unit), None),
        "first_at": events[0].at,
        "outcome": next(kind for kind in OUTCOMES if kind in outcome_kinds),
        "shown": was_shown,
        "accepted": accepted,
        "partly_accepted": partly and not accepted,
        "typed_instead": "typed_instead" in kinds,
        "dismissed": "dismissed" in kinds,
        "edited": "edited" in kinds or shrunk or changed,
        "contradictory": (accepted or partly) and not kinds.isdisjoint(_NOT_ACCEPTED),
        "accepted_characters": accepted_characters,
        **{column: retained.get(column) for column in (*_COLUMNS.values(), "retained_commit")},
        "seconds_to_accept": _seconds_to_accept(events),
        "rating": vote.rating if vote else None,
        "original": original,
        "corrected": corrected,
        "events": len(events),
    }


def _first(events: Iterable[FeedbackEvent], name: str) -> Any:
    values = (getattr(event, name) for event in events)
    return next((value for value in values if value is not None), None)


def _accepted_characters(events: Iterable[FeedbackEvent], completion_length: int | None) -> int | None:
    """The whole; of a completion taken in parts the most that an event says."""
    if any(event.kind == "accepted" for event in events):
        return completion_length
    parts = [e.characters for e in events if e.kind == "partly_accepted" and e.characters]
    most = max(parts, default=None)
    return most if most is None or completion_length is None else min(most, completion_length)


def _retained(events: Iterable[FeedbackEvent], accepted_characters: int | None) -> Mapping[str, int]:
    """The least that any event says, never more than before or than was taken."""
    retained: dict[str, int] = {}
    bound = accepted_characters
    for after in (*HORIZONS, None):
        counts = [
            event.characters
            for event in events
            if event.kind == "retained" and event.after == after and event.characters is not None
            if after is not None or event.source in _LOOKED_AT_COMMITS
        ]
        if not counts:
            continue
        # a commit may come within the hour, so it is bounded by what was taken alone
        bounds = [*counts, *(b for b in (accepted_characters if after is None else bound,) if b is not None)]
        if after is None:
            retained["retained_commit"] = min(bounds)
        else:
            retained[_COLUMNS[after]] = bound = min(bounds)
    return retained


def _seconds_to_accept(events: Sequence[FeedbackEvent]) -> float | None:
    """As the editor measured it, else between two time stamps; unknown if a clock went back.

    Two equal stamps are one moment that was written down for both. So are Continue's: its only
    stamp is of when a completion was taken or not.
    """
    acceptances = [event for event in events if event.kind in _ACCEPTED]
    elapsed = [event.elapsed_ms for event in acceptances if event.elapsed_ms is not None]
    if elapsed:
        return min(elapsed) / 1000
    accepted_at = _first(acceptances, "at")
    shown_at = _first((event for event in events if event.kind == "shown" and event.source != "continue"), "at")
    if accepted_at is None or shown_at is None:
        return None
    return max((accepted_at - shown_at).total_seconds(), 0.0) or None
