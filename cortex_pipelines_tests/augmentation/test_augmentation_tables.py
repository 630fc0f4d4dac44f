from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.augmentation.assets import augmented_units
from cortex_pipelines.augmentation.augment import augment, augmentable, augmented
from cortex_pipelines.config import load_parameters
from cortex_pipelines.parallel import ordered
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.extraction import CODE_UNITS

SETTINGS = load_parameters(Path(__file__).parents[2]).augmentation.model_copy(
    update={"seed": 1, "max_unit_bytes": 500, "renamed_variants": 2, "mutants_per_unit": 3}
)
CODE = "def f(a):\n    total = 0\n    for x in a:\n        total += x * 2\n    return total < 10\n"


def unit(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "unit_id": name, "source": "s", "path": f"{name}.py", "blob": "b", "language": "python",
        "kind": "function", "name": "f", "qualified_name": "f", "start_byte": 0,
        "end_byte": len(CODE), "start_line": 1, "end_line": 5, "name_line": 1,
        "signature": "def f(a):", "docstring": None, "code": CODE, "body_start_byte": 14,
        "context": "", "has_error": False, "generated": False,
    }  # fmt: skip
    return row | changes


def frame(*units: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(units), schema=CODE_UNITS.schema)


def test_a_unit_has_its_variants_and_mutants() -> None:
    units = frame(unit("a"), unit("b"))
    renamed, errors = (augmented(RENAMED_UNITS, units, SETTINGS), augmented(INJECTED_ERRORS, units, SETTINGS))
    assert renamed.group_by("unit_id").len().sort("unit_id").rows() == [("a", 2), ("b", 2)]
    assert CODE not in set(renamed["renamed_code"])
    assert all(len(renames) == 2 for renames in renamed["renames"])
    assert errors.group_by("unit_id").len().sort("unit_id").rows() == [("a", 3), ("b", 3)]
    assert set(errors["fixed_code"]) == {CODE}
    assert renamed.equals(RENAMED_UNITS.conform(renamed))
    assert errors.equals(INJECTED_ERRORS.conform(errors))


def test_a_seed_draws_the_errors() -> None:
    units = frame(*(unit(f"u{n}") for n in range(5)))
    other = SETTINGS.model_copy(update={"seed": 2})
    first, second = (augmented(INJECTED_ERRORS, units, SETTINGS), augmented(INJECTED_ERRORS, units, other))
    assert set(first["mutant_id"]) != set(second["mutant_id"])


def test_what_stands_beside_a_unit_does_not_matter() -> None:
    alone, together = frame(unit("a")), frame(unit("a"), unit("b"), unit("c"))
    for table in (RENAMED_UNITS, REWRITTEN_UNITS, INJECTED_ERRORS):
        assert augmented(table, alone, SETTINGS).equals(
            augmented(table, together, SETTINGS).filter(pl.col("unit_id") == "a")
        )


@pytest.mark.parametrize(
    "changes", [{"has_error": True}, {"generated": True}, {"kind": "class"}, {"code": CODE + "#" * 500}]
)
def test_some_units_are_not_augmented(changes: dict[str, Any]) -> None:
    units = frame(unit("a", **changes))
    assert augmentable(units, SETTINGS).is_empty()
    assert augmented(RENAMED_UNITS, units, SETTINGS).equals(RENAMED_UNITS.empty())
    assert augmented(REWRITTEN_UNITS, units, SETTINGS).equals(REWRITTEN_UNITS.empty())
    assert augmented(INJECTED_ERRORS, units, SETTINGS).equals(INJECTED_ERRORS.empty())


def test_variants_are_made_as_often_as_they_differ_and_are_asked_for() -> None:
    assert augmented(RENAMED_UNITS, frame(unit("a", code="def f(a):\n    return a\n")), SETTINGS).is_empty()
    many = SETTINGS.model_copy(update={"renamed_variants": 200})
    renamed = augmented(RENAMED_UNITS, frame(unit("a", code="def f():\n    x = 1\n    return x\n")), many)
    assert renamed["renamed_code"].is_unique().all()
    assert renamed.height < 200
    none = SETTINGS.model_copy(update={"renamed_variants": 0, "rewrites_per_unit": 0, "mutants_per_unit": 0})
    assert all(table.is_empty() for table in augment(frame(unit("a")), none).values())


def test_a_cache_changes_nothing_but_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RowCache(tmp_path, "1")
    augment(frame(unit("a"), unit("b"), unit("c")), SETTINGS, "shop", cache)
    changed = frame(unit("a"), unit("d", code=CODE.replace("10", "11")), unit("c"))
    unit_ids: list[str] = []

    def record_units(work: Callable[[pl.DataFrame], pl.DataFrame], units: pl.DataFrame, _: str) -> pl.DataFrame:
        unit_ids.extend(units["unit_id"])
        return work(units)

    monkeypatch.setattr("cortex_pipelines.augmentation.augment.mapped_rows", record_units)
    again = augment(changed, SETTINGS, "shop", cache)
    assert set(unit_ids) == {"d"}
    unit_ids.clear()
    from_nothing = augment(changed, SETTINGS)
    assert set(unit_ids) == {"a", "c", "d"}
    assert all(again[name].equals(from_nothing[name]) for name in from_nothing)


def test_workers_give_what_one_process_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    units = frame(*(unit(f"u{n:02}") for n in range(9)))
    alone = augment(units, SETTINGS)
    monkeypatch.setattr(ordered, "_SECONDS_ALONE", -1)
    monkeypatch.setattr(ordered, "_BATCH_BYTES", 300)
    with ordered.executing(ExecutionSettings(backend="processes", workers=2, memory=None)):
        together = augment(units, SETTINGS)
    ordered.close_backends()
    assert all(alone[name].equals(together[name]) for name in alone)


def test_the_asset_reads_units_and_gives_three_tables(tmp_path: Path) -> None:
    frame(unit("a", code=f"{CODE}    # few\n")).write_parquet(tmp_path / "units.parquet")
    tables = augmented_units(tmp_path, SETTINGS, "shop", RowCache(tmp_path / "cache", "1"))
    assert {name: table.is_empty() for name, table in tables.items()} == dict.fromkeys(
        ("renamed_units", "rewritten_units", "injected_errors"), False
    )
