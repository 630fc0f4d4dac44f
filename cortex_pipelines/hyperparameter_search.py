"""Deterministic hyperparameter search with Optuna: seeded, pruned and resumable.

The sampler is reseeded for each trial with the search's seed and the trial's number, so the parameters of a trial are
a function of the seed and the trials before it, even if the process died in between. Optuna's own storages do not
keep the state of a sampler, and a killed process leaves a lock or a partial line in them. Finished trials are
therefore saved as JSON lines here and restored by Optuna's public interface.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.progress import track

TRIALS_FILE = "trials.json"
"""File in an output that holds ``SearchResult.as_json``, by which trackers find it."""

_STARTUP = 2
"""Complete trials before pruning starts."""


@dataclass(frozen=True)
class Trial:
    number: int
    state: str  # `complete`, `pruned` (stopped early, worse than most) or `fail` (no value)
    parameters: Mapping[str, Any]
    value: float | None  # objective, smaller is better; of a pruned trial, the last intermediate value
    steps: Mapping[int, float]  # step to intermediate value

    def row(self) -> dict[str, Any]:
        """The trial as plain values, with the steps as ordered pairs."""
        return asdict(self) | {"steps": [[step, value] for step, value in sorted(self.steps.items())]}


@dataclass(frozen=True)
class SearchResult:
    trials: tuple[Trial, ...]  # all trials, in order
    # share of the variance between complete trials explained by each parameter (fANOVA); empty with too few trials
    importance: Mapping[str, float]
    seed: int

    @property
    def best(self) -> Trial:
        """The complete trial with the smallest value; the first on ties."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return min(complete, key=lambda trial: trial.value if trial.value is not None else 0.0)

    def as_json(self, objective: str) -> dict[str, Any]:
        return {
            "objective": objective,
            "seed": self.seed,
            "best": self.best.number,
            "importance": dict(self.importance),
            "trials": [trial.row() for trial in self.trials],
        }


def search(
    objective: Callable[[Any], float],
    trials: int,
    seed: int,
    warm_up: int,
    trials_file: Path,
    description: str,
    first: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Run the search, with each trial's settings proposed by TPE.

    ``objective``: takes an ``optuna.Trial``, which suggests parameters and may be told intermediate values; returns
    the value to minimise, or raises ``optuna.TrialPruned``. ``trials``: number of trials, at least 1. ``first``: the
    parameters of trial 0, which are otherwise proposed too. Raises ValueError: no trial finished with a finite value.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(_STARTUP, warm_up))
    lines = list[str]()
    if trials_file.exists():  # an interrupted search; its last line may be truncated
        lines = trials_file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1][:trials]
        for line in lines:
            study.add_trial(_restored(json.loads(line)))
    for number in track(range(len(study.trials), trials), description):
        study.sampler = optuna.samplers.TPESampler(seed=seed + number)
        if first is not None and number == 0:
            study.enqueue_trial(dict(first))
        proposed = study.ask()
        try:
            study.tell(proposed, objective(proposed))
        except optuna.TrialPruned:
            study.tell(proposed, state=optuna.trial.TrialState.PRUNED)
        lines.append(_line(study.trials[number]))
        # all of them: a search for the same beside this one, as in Dagster and a terminal, writes there, too
        write_whole(trials_file, "".join(f"{line}\n" for line in lines))
    finished = []
    for number, frozen in enumerate(study.trials):
        parameters, steps = dict(sorted(frozen.params.items())), dict(frozen.intermediate_values)
        finished.append(Trial(number, frozen.state.name.lower(), parameters, frozen.value, steps))
    outcome = SearchResult(tuple(finished), _importance(study, seed), seed)
    trials_file.unlink(missing_ok=True)
    if all(trial.state != "complete" for trial in outcome.trials):
        raise ValueError(f"none of the {trials} trials of the search finished with a finite value")
    return outcome


def _importance(study: Any, seed: int) -> dict[str, float]:
    import optuna

    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    if len({trial.value for trial in complete}) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(float(share), 6) for name, share in sorted(importances.items())}


def _line(frozen: Any) -> str:
    import optuna

    to_json = optuna.distributions.distribution_to_json
    values = {
        "state": frozen.state.name,
        "params": frozen.params,
        "distributions": {name: to_json(distribution) for name, distribution in frozen.distributions.items()},
        "value": frozen.value,
        "steps": list(frozen.intermediate_values.items()),
    }
    return json.dumps(values)


def _restored(line: Mapping[str, Any]) -> Any:
    import optuna

    from_json = optuna.distributions.json_to_distribution
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[line["state"]],
        params=line["params"],
        distributions={name: from_json(distribution) for name, distribution in line["distributions"].items()},
        value=line["value"],
        intermediate_values={int(step): value for step, value in line["steps"]},
    )
