"""From one unit to the rows of its augmentations: what a process does with its share of units."""

import hashlib
from typing import Any

from cortex_pipelines.augmentation.mutation import mutate_unit
from cortex_pipelines.augmentation.renaming import rename_locals
from cortex_pipelines.augmentation.rewriting import rewritten
from cortex_pipelines.augmentation.settings import AugmentationSettings

Row = dict[str, Any]


def renamed_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    """Rows of RENAMED_UNITS for one unit, each variant once."""
    rows: list[Row] = []
    seen = set()
    place = (unit["language"], unit["kind"], unit["path"])
    for variant in range(settings.renamed_variants):
        seed = (settings.seed, unit["unit_id"], variant)
        renamed = rename_locals(unit["code"], *place, *seed)
        if renamed is None:
            break
        if renamed.code not in seen:
            seen.add(renamed.code)
            renames = sorted(f"{old}={new}" for old, new in renamed.renames)
            row = {"variant": variant, "renamed_code": renamed.code, "renames": renames}
            rows.append(_of(unit) | {"original_code": unit["code"]} | row)
    return rows


def rewritten_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    """Rows of REWRITTEN_UNITS for one unit."""
    if not settings.rewrites_per_unit:
        return []
    found = rewritten(
        unit["code"],
        unit["language"],
        unit["kind"],
        unit["path"],
        settings.rewrites_per_unit,
        settings.seed,
        unit["unit_id"],
    )
    return [
        _of(unit)
        | {"variant": number, "rewrite": one.rewrite}
        | {"original_code": unit["code"], "rewritten_code": one.code}
        for number, one in enumerate(found)
    ]


def injected_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    """Rows of INJECTED_ERRORS for one unit."""
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
        _of(unit)
        | {"mutant_id": _mutant_id(unit["unit_id"], mutant.operator, mutant.buggy_code)}
        | {"operator": mutant.operator, "error_type": mutant.error_type}
        | {"buggy_code": mutant.buggy_code, "fixed_code": mutant.fixed_code}
        | {"explanation": mutant.explanation, "verification": list(mutant.verification)}
        for mutant in mutants
    ]


def _of(unit: Row) -> Row:
    return {"unit_id": unit["unit_id"], "language": unit["language"]}


def _mutant_id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
