import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.assets import build_tables as build
from cortex_pipelines.coordination.assets import coordination_tables
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.coordination.tables.features import features
from cortex_pipelines.schemas.coordination import COORDINATION_TABLES, DECISIONS, OUTCOMES

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "coordination"
PARAMETERS = load_parameters(ROOT)
START = datetime(2026, 3, 2, tzinfo=UTC)


def read(folder: Path) -> pl.DataFrame:
    pin = take_coordination_pin(folder, folder, PARAMETERS.privacy)
    return read_logs(folder, pin, PARAMETERS.coordination, PARAMETERS.privacy).events


def tables_of(folder: Path, *records: dict[str, Any], name: str = "a") -> dict[str, pl.DataFrame]:
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(json.dumps(record) for record in records))
    return build(read(folder), PARAMETERS.coordination.aliases, PARAMETERS.log_tables)


@pytest.mark.parametrize(
    "folder",
    [
        ROOT / PARAMETERS.coordination.logs,
        pytest.param(SHARED, marks=pytest.mark.skipif(not SHARED.is_dir(), reason="no real samples here")),
    ],
)
def test_every_record_about_a_task_or_a_metric_is_in_a_table(folder: Path, tmp_path: Path) -> None:
    events = read(folder)
    events.write_parquet(tmp_path / "events.parquet")
    tables = coordination_tables(tmp_path, PARAMETERS.coordination, PARAMETERS.log_tables)
    assert list(tables) == [table.name for table in COORDINATION_TABLES]
    for table in COORDINATION_TABLES:
        assert table.conform(tables[table.name]).equals(tables[table.name])
    kept_ids = {identity for name, table in tables.items() if name != "features" for identity in table["event_id"]}
    assert set(events.filter(~pl.col("event_id").is_in(list(kept_ids)))["kind"]) == {"routing_rules"}
    attempts = set(tables["decisions"]["attempt_id"]) | set(tables["outcomes"]["attempt_id"])
    assert set(tables["features"]["attempt_id"]) == attempts - {None}


def test_records_of_one_attempt_find_each_other_by_id_or_else_by_text(tmp_path: Path) -> None:
    tables = tables_of(
        tmp_path,
        {"task_id": "t1", "title": "Fix it", "routed_to": "cicd-master", "priority": "high"},
        {"task_id": "t1", "decision": {"primary_expert": "cicd", "scores": {"cicd": 0.9, "x": 0.2}}},
        {"task_id": "t1", "master": "cicd", "success": True, "duration": 9, "tokens_used": 70},
        {"title": "List  THEM", "routed_to": "inventory"},
        {"title": "list them", "routed_to": "inventory-master", "outcome": "failed"},
        {"task_id": "t1", "model": "m", "provider": "p", "complexity_score": 4, "tier": "fast"},
    )
    first, second = sorted(tables["features"].iter_rows(named=True), key=lambda row: row["master"])
    assert (first["master"], first["text"], first["priority"]) == ("cicd", "Fix it", "high")
    assert first["margin"] == pytest.approx(0.7)
    assert (second["master"], second["question"], second["words"]) == ("inventory", 0, 2)
    outcomes = tables["outcomes"].sort("byte_offset")
    assert outcomes["attempt_id"].to_list() == [first["attempt_id"], second["attempt_id"], None]
    assert (outcomes["success"].to_list(), outcomes["tokens"].to_list()) == ([True, False, None], [70.0, None, None])
    assert outcomes["complexity_score"].to_list() == [None, None, 4.0]
    assert tables["decisions"].filter(pl.col("scores").list.len() > 0)["scored_masters"].to_list() == [["cicd", "x"]]


def test_a_propensity_is_a_probability_or_nothing(tmp_path: Path) -> None:
    logged = [0.25, 1, 0, 1.5, -1, "0.5", None]
    assert tables_of(
        tmp_path, *({"task_id": f"t{n}", "routed_to": "x", "propensity": p} for n, p in enumerate(logged))
    )["decisions"].sort("task_id")["propensity"].to_list() == [0.25, 1.0, None, None, None, None, None]


def test_an_outcome_was_known_when_it_was_written_and_decided_before(tmp_path: Path) -> None:
    shared = {"timestamp": "2026-03-02T10:00:00Z", "outcome": {"success": True}}
    routing = {"primary_expert": "x"}
    tables = tables_of(
        tmp_path,
        {**shared, "task_id": "a", "routing": routing, "execution": {"duration_seconds": 60}},
        {**shared, "task_id": "b", "routing": routing},
        {"timestamp": "2026-03-02T10:00:00Z", "task_id": "c", "routed_to": "x", "outcome": "done"},
        {**shared, "task_id": "d", "routing": routing, "execution": {"duration_seconds": 1e300}},
    )
    ten = datetime(2026, 3, 2, 10, tzinfo=UTC)
    decided = tables["decisions"].sort("task_id")["decided_at"].to_list()
    assert decided == [ten - timedelta(seconds=60), None, ten, None]
    assert tables["outcomes"].sort("task_id")["known_at"].to_list() == [ten, ten, None, ten]


_steps = st.lists(
    st.tuples(
        st.integers(0, 40),  # minutes until it is decided
        st.integers(1, 60),  # minutes until the outcome is known
        st.sampled_from("xyz"),
        st.booleans(),
        st.booleans(),  # whether the time at which the outcome is known is known
    ),
    min_size=1,
    max_size=15,
)


def logged(steps: list[tuple[int, int, str, bool, bool]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decisions and outcomes of attempts one after the other."""
    decided, went, clock = [], [], START
    for number, (wait, lasts, master, success, timed) in enumerate(steps):
        clock += timedelta(minutes=wait)
        shared = dict.fromkeys({**DECISIONS.schema, **OUTCOMES.schema})
        shared |= {"event_id": f"e{number}", "attempt_id": f"a{number}", "master": master}
        shared |= {"file": "f", "byte_offset": number, "test_row": False, "text": "Do it now"}
        decided.append(
            {
                **{name: shared[name] for name in DECISIONS.schema},
                **{"kind": "decision", "occurred_at": clock, "decided_at": clock},
                **{"scored_masters": [], "scores": []},
            }
        )
        ended_at = clock + timedelta(minutes=lasts) if timed else None
        went.append(
            {
                **{name: shared[name] for name in OUTCOMES.schema},
                **{"kind": "outcome", "known_at": ended_at, "success": success},
                "duration_seconds": lasts * 60.0,
            }
        )
    return DECISIONS.frame(decided), OUTCOMES.frame(went)


@given(_steps, st.integers(0, 600))
def test_features_are_the_same_without_all_that_came_later(steps, minutes: int) -> None:
    decided, went = logged(steps)
    cutoff = START + timedelta(minutes=minutes)
    expected = features(decided, went, PARAMETERS.log_tables).filter(pl.col("decided_at") <= cutoff)
    then = features(
        decided.filter(pl.col("decided_at") <= cutoff), went.filter(pl.col("known_at") < cutoff), PARAMETERS.log_tables
    )
    assert expected.equals(then)


def test_the_recent_record_of_a_master_is_of_what_was_known(tmp_path: Path) -> None:
    decided, went = logged(
        [
            (0, 6, "x", True, True),  # known at 6
            (5, 10, "x", False, True),  # at 15
            (9, 10, "x", True, False),
            (2, 10, "x", True, True),  # at 16
            (0, 10, "y", True, True),
        ]
    )
    rows = features(decided, went, PARAMETERS.log_tables).sort("attempt_id")
    assert rows["earlier_outcomes"].to_list() == [0, 0, 1, 2, 0]
    assert rows["recent_seconds"].to_list() == [None, None, 360.0, 480.0, None]
    assert rows["seconds_since_last"].to_list() == [None, 300.0, 540.0, 120.0, None]
    settings = PARAMETERS.log_tables.model_copy(update={"recent": 1})
    assert features(decided, went, settings).sort("attempt_id")["recent_seconds"][3] == 600.0


def history(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"timestamp": (START + timedelta(seconds=10 * n)).isoformat(), **row} for n, row in enumerate(rows)]


def test_counters_become_rates_and_a_restart_begins_at_zero(tmp_path: Path) -> None:
    counts = [0, *range(5, 300, 5), 20, *range(30, 300, 10)]
    metrics = tables_of(
        tmp_path,
        *history(*({"total": n, "success_rate": n, "load": 7 - n % 3} for n in counts)),
        name="metrics/fleet-history",
    )["system_metrics"].sort("occurred_at", "metric")
    total = metrics.filter(pl.col("metric") == "total")
    assert total["counter"].all()
    assert total["rate"].to_list() == [None, *(0.5 for _ in range(5, 300, 5)), 2.0, *(1.0 for _ in range(30, 300, 10))]
    workers = metrics.filter(pl.col("metric") != "total")
    assert not workers["counter"].any()
    assert workers["rate"].null_count() == workers.height


def test_a_field_is_a_number_or_a_label_and_none_is_dropped(tmp_path: Path) -> None:
    tables = tables_of(
        tmp_path,
        {"worker_id": "w", "status": "stuck", "up": True, "load": {"cpu": 3, "all": [1, 2]}},
        {"worker_id": "w", "timestamp": "2026-03-02T10:00:00Z"},
        {"worker_id": "w", "huge": 10**400, "none": None, "half\ud800": 1},
    )
    rows = tables["worker_metrics"].sort("byte_offset", "metric")
    assert rows.select("worker", "metric", "value", "label").rows() == [
        ("w", "load.all", None, "[1, 2]"),
        ("w", "load.cpu", 3.0, None),
        ("w", "status", None, "stuck"),
        ("w", "up", 1.0, None),
        ("w", "record", None, None),
        ("w", "half?", 1.0, None),
        ("w", "huge", None, "1" + "0" * 199),
        ("w", "none", None, None),
    ]


def test_nothing_logged_gives_empty_tables(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, {})
    assert {name: table.height for name, table in tables.items()} == dict.fromkeys(tables, 0)
