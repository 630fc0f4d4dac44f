"""What an adapter forgot: perplexity on code of a project that it was not trained for."""

from dataclasses import dataclass
from math import expm1, log
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.examples import Example, read_examples, sampled
from cortex_pipelines.datasets.leakage import leakage
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter_scores import bits_per_byte, perplexity
from cortex_pipelines.evaluation.contestants import ROLES
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.evaluation.statistics import paired_bootstrap

_COMPARED = "completion"


@dataclass(frozen=True)
class GeneralItems:
    """Held-out items of the project that stands for code in general.

    Args:
        items: The items; none if nothing can be measured.
        twins: Items left out because the project's train split has a near twin of them.
        missing: Why there are none; empty if there are.
    """

    items: tuple[Example, ...]
    twins: int
    missing: str


def general_items(
    general_code: Path,
    general_project: str | None,
    project: str,
    completion_dataset: Path,
    twins: DatasetSettings,
    settings: EvaluationSettings,
) -> GeneralItems:
    """The items, without such that leak.

    Args:
        general_code: Folder of the general project's examples.
        general_project: Which project that is; None for none.
        project: Project of the adapter.
        completion_dataset: Folder of its completion data set.
        twins: From which similarity two texts are twins.
        settings: How many items.
    """
    if general_project is None:
        return GeneralItems((), 0, "general.project in params.yaml names no project")
    if general_project == project:
        return GeneralItems((), 0, f"{project} is itself the project that stands for all code")
    train = pl.read_parquet(completion_dataset / "train.parquet", columns=["example_id", _COMPARED])
    test = pl.read_parquet(general_code / "test.parquet", columns=["example_id", _COMPARED])
    leaking = set(leakage(train, test, _COMPARED, twins)["other_example_id"])
    known = read_examples(general_code, "completion", "test")
    clean = [one for one in known if one.example_id not in leaking]
    items = sampled(clean, settings.general_items, settings.seed)
    missing = "" if items else f"{general_project} has no held-out item that may be used"
    return GeneralItems(tuple(items), len(leaking), missing)


def forgetting_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Relative rise of perplexity on general code over the base, with its interval.

    ``forgetting`` is 0.02 where the challenger's perplexity of a token is 2 % above the base's;
    negative where it is lower.
    """
    if not scores.height:
        return {}
    nats = (scores["challenger_bits"] - scores["base_bits"]) * log(2)
    rise = paired_bootstrap(
        (nats / scores["tokens"]).to_list(),
        weights=scores["tokens"].to_list(),
        clusters=scores["cluster"].to_list(),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    found: dict[str, float] = {
        "general_items": scores.height,
        "forgetting": expm1(rise.estimate),
        "forgetting_low": expm1(rise.low),
        "forgetting_high": expm1(rise.high),
    }
    found |= {f"general_{role}_perplexity": perplexity(scores, role) for role in ROLES}
    return found | {f"general_{role}_bits_per_byte": bits_per_byte(scores, role) for role in ROLES}
