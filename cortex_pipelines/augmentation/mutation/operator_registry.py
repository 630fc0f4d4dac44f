"""Registry of mutation operators in ``augmentation/mutation/operators/``."""

from functools import cache

from cortex_pipelines.augmentation.mutation import operators as folder
from cortex_pipelines.augmentation.mutation.operator import Operator
from cortex_pipelines.augmentation.registry import instances_in


@cache
def operators() -> tuple[Operator, ...]:
    return instances_in(folder, Operator)  # type: ignore[type-abstract]


@cache
def operators_at(language: str) -> dict[str, tuple[Operator, ...]]:
    by_type: dict[str, list[Operator]] = {}
    for operator in operators():
        for node_type in sorted(operator.places.get(language, ())):
            by_type.setdefault(node_type, []).append(operator)
    return {node_type: tuple(of_type) for node_type, of_type in by_type.items()}
