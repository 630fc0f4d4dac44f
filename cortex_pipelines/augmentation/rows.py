"""Turn units into rows of the augmentation tables, in a worker process."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.augmentation.renaming.rename import rename_locals
from cortex_pipelines.augmentation.rewriting.reformatting import is_drawn, reformatted
from cortex_pipelines.augmentation.rewriting.rewrite_units import Rewritten, rewritten
from cortex_pipelines.augmentation.settings import AugmentationSettings

Row = dict[str, Any]


def renamed_rows(units: Sequence[Row], settings: AugmentationSettings) -> Iterator[list[Row]]:
    return (_renamed(unit, settings) for unit in units)


def rewritten_rows(units: Sequence[Row], settings: AugmentationSettings) -> Iterator[list[Row]]:
    if not settings.rewrites_per_unit:
        return iter([[] for _ in units])
    reformatted_ids = {
        unit["unit_id"] for unit in units if is_drawn(settings.reformatted_share, settings.seed, unit["unit_id"])
    }
    reformatted_units = reformatted([unit for unit in units if unit["unit_id"] in reformatted_ids], settings.seed)
    return (
        _rewritten(unit, settings, unit["unit_id"] in reformatted_ids, reformatted_units.get(unit["unit_id"]))
        for unit in units
    )


def injected_rows(units: Sequence[Row], settings: AugmentationSettings) -> Iterator[list[Row]]:
    return (_injected(unit, settings) for unit in units)


def _renamed(unit: Row, settings: AugmentationSettings) -> list[Row]:
    rows: list[Row] = []
    seen_codes = set()
    context = (unit["language"], unit["kind"], unit["path"])
    for variant in range(settings.renamed_variants):
        seed = (settings.seed, unit["unit_id"], variant)
        renamed = rename_locals(unit["code"], *context, *seed)
        if renamed is None:
            break
        if renamed.code not in seen_codes:
            seen_codes.add(renamed.code)
            renames = sorted(f"{old}={new}" for old, new in renamed.renames)
            row = {"variant": variant, "renamed_code": renamed.code, "renames": renames}
            rows.append(_unit_columns(unit) | row)
    return rows


def _rewritten(unit: Row, settings: AugmentationSettings, is_drawn: bool, formatted: Rewritten | None) -> list[Row]:
    variants = [formatted] if formatted else []
    more = settings.rewrites_per_unit - len(variants)
    rewrites = rewritten(
        unit["code"],
        unit["language"],
        unit["kind"],
        unit["path"],
        more and settings.rewrites_per_unit,
        settings.seed,
        unit["unit_id"],
        first="layout" if is_drawn else None,
    )
    variants += [variant for variant in rewrites if not formatted or variant.code != formatted.code][:more]
    return [
        _unit_columns(unit)
        | {"variant": number, "rewrite": variant.rewrite, "family": variant.family}
        | {"rewritten_code": variant.code}
        for number, variant in enumerate(variants)
    ]


def _injected(unit: Row, settings: AugmentationSettings) -> list[Row]:
    if not settings.mutants_per_unit:
        return []
    mutants = mutate_unit(
        unit["code"],
        unit["language"],
        unit["kind"],
        unit["path"],
        unit["name"],
        settings.mutants_per_unit,
        settings.seed,
        unit["unit_id"],
    )
    return [
        _unit_columns(unit)
        | {"mutant_id": _mutant_id(unit["unit_id"], mutant.operator, mutant.buggy_code)}
        | {"operator": mutant.operator, "error_type": mutant.error_type}
        | {"buggy_code": mutant.buggy_code, "fixed_code": mutant.fixed_code}
        | {"explanation": mutant.explanation, "verification": list(mutant.verification)}
        for mutant in mutants
    ]


def _unit_columns(unit: Row) -> Row:
    return {"unit_id": unit["unit_id"], "language": unit["language"]}


def _mutant_id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
