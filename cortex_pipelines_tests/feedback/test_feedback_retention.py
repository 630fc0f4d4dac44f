"""The table of interactions is a function of the set of events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.feedback.events import FeedbackEvent
from cortex_pipelines.feedback.metrics import compute_metrics
from cortex_pipelines.feedback.retention import build_interactions

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONSENT = ("shop",)


def event(kind: str, seconds: float | None = 0, **fields: Any) -> FeedbackEvent:
    moment = None if seconds is None else START + timedelta(seconds=seconds)
    values = {"completion_id": "c1", "source": "gateway", "at": moment, **fields}
    return FeedbackEvent(kind=kind, **values)


def offer(**fields: Any) -> FeedbackEvent:
    details = {"project": "shop", "version": "v1", "characters": 100}
    return event("offered", -1, **details | fields)


def row(*events: FeedbackEvent) -> dict[str, Any]:
    (only,) = build_interactions(events, CONSENT).to_dicts()
    return dict(only)


def test_one_completion_logged_as_rejected_and_accepted_counts_once_as_accepted() -> None:
    for order in ((0, 5), (5, 0)):
        settled = row(offer(), event("dismissed", order[0]), event("accepted", order[1]))
        assert settled["outcome"] == "accepted"
        assert settled["contradictory"]
        assert settled["accepted_characters"] == 100


def test_a_client_s_claims_replace_neither_the_gateway_s_words_nor_the_commits() -> None:
    forged = event("shown", -900, version="v9", project="other", characters=7)
    settled = row(forged, offer())
    assert (settled["version"], settled["project"], settled["characters"]) == ("v1", "shop", 100)
    claimed = row(offer(), event("accepted"), event("retained", characters=9))
    assert claimed["retained_commit"] is None
    retained_in_git = event("retained", characters=9, source="git")
    assert row(offer(), event("accepted"), retained_in_git)["retained_commit"] == 9


def test_retained_characters_never_grow_and_never_exceed_what_was_taken() -> None:
    settled = row(
        offer(),
        event("accepted"),
        event("retained", 30, after=30, characters=80),
        event("retained", 31, after=30, characters=90),
        event("retained", 300, after=300, characters=95),
        event("retained", 3600, after=3600, characters=10**6),
        event("retained", 50, source="git", characters=10**6),
    )
    assert [settled[f"retained_{name}"] for name in ("30s", "5min", "1h", "commit")] == [80, 80, 80, 100]
    assert settled["edited"]


def test_a_part_is_bounded_by_the_whole_and_outdone_by_it() -> None:
    part = event("partly_accepted", 1, characters=40)
    assert row(offer(), part)["accepted_characters"] == 40
    assert row(offer(), part)["outcome"] == "partly_accepted"
    assert row(offer(), event("partly_accepted", characters=400))["accepted_characters"] == 100
    accepted_in_full = row(offer(), part, event("accepted", 2))
    assert (accepted_in_full["accepted_characters"], accepted_in_full["partly_accepted"]) == (100, False)


def test_a_clock_that_went_back_or_stood_still_gives_no_time_to_accept() -> None:
    assert row(offer(), event("shown", 9), event("accepted", 4))["seconds_to_accept"] is None
    assert row(offer(), event("shown", 4), event("accepted", 9))["seconds_to_accept"] == 5
    measured = event("accepted", 4, elapsed_ms=700.0)
    assert row(offer(), event("shown", 9), measured)["seconds_to_accept"] == 0.7
    assert row(offer(), event("shown", 4), event("accepted", 4))["seconds_to_accept"] is None
    continues = [event(kind, second, source="continue") for kind, second in (("shown", 1), ("accepted", 9))]
    assert row(offer(), *continues)["seconds_to_accept"] is None


def test_the_last_word_counts_of_votes_and_corrections() -> None:
    settled = row(
        offer(),
        event("rated", 8, rating="up"),
        event("rated", 8, rating="down"),
        event("rated", 2, rating="up"),
        event("corrected", 9, corrected="b", original="a"),
        event("corrected", 3, corrected="c"),
        event("corrected", None, corrected="d"),
    )
    assert (settled["rating"], settled["original"], settled["corrected"]) == ("down", "a", "b")
    assert settled["events"] == 7


def test_votes_and_corrections_alone_do_not_say_that_it_could_be_taken() -> None:
    vote = event("rated", 8, rating="up")
    correction = event("corrected", 9, corrected="b", original="a")
    for events in ((offer(), vote, correction), (event("rated", project="shop", rating="up"),)):
        settled = row(*events)
        assert (settled["shown"], settled["outcome"]) == (False, "offered")
    for kind in ("shown", "accepted", "typed_instead", "dismissed", "edited", "retained"):
        assert row(offer(), vote, event(kind))["shown"]
    # who is not taken into account as a reader of it still says how much was wrong
    group = compute_metrics(build_interactions([offer(), vote, correction], CONSENT))[0]["figures"]
    assert group["acceptance"] is None
    assert group["correction_distance"]["count"] == 1


def test_without_consent_there_is_no_row() -> None:
    assert build_interactions([offer(project="other"), event("accepted")], CONSENT).is_empty()
    assert build_interactions([event("accepted")], CONSENT).is_empty()


EVENTS = st.builds(
    lambda name, kind, at, text, number, rating, project: FeedbackEvent(
        completion_id=name,
        kind=kind,
        source="gateway",
        at=at and START + timedelta(seconds=at),
        project=project,
        characters=number,
        after=30 if kind == "retained" else None,
        rating=rating,
        corrected=text,
        original=text and text[::-1],
        unit=text or None,
    ),
    st.sampled_from(["c1", "c2"]),
    st.sampled_from(["offered", "shown", "accepted", "partly_accepted", "dismissed", "retained", "corrected"]),
    st.none() | st.integers(-5, 5),
    st.none() | st.sampled_from(["x", "yy"]),
    st.none() | st.integers(0, 5),
    st.none() | st.sampled_from(["up", "down"]),
    st.none() | st.sampled_from(["shop", "other"]),
)


@given(st.lists(EVENTS, max_size=12), st.data())
def test_order_and_repetition_change_nothing(events: list[FeedbackEvent], data: st.DataObject) -> None:
    again = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events)) if events else st.just([]))))
    assert build_interactions(again, CONSENT).equals(build_interactions(events, CONSENT))
