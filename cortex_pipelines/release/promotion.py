"""Promotion and rollback, the only ways to change a champion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortex_pipelines.release import ledger
from cortex_pipelines.release.answering import read_release
from cortex_pipelines.release.gates import read_verdict
from cortex_pipelines.release.ledger import LedgerEntry, ReleasedModel, ReleaseError, champion, moves, record
from cortex_pipelines.release.numbering import inputs_of, version_inputs
from cortex_pipelines.release.refit import read_difference
from cortex_pipelines.release.settings import DeploymentSettings
from cortex_pipelines.versioning.champions import ChampionPin
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.lock_file import (
    code_of,
    differing_code,
    locked_stages,
    path_to,
    stage_address,
    uncommitted,
)

_MAX_NAMES = 5


@dataclass(frozen=True)
class ReleaseAction:
    by: str
    at: str
    why: str


def promote(
    root: Path,
    model: ReleasedModel,
    act: ReleaseAction,
    deployment: DeploymentSettings | None = None,
    report: Callable[[str], None] = lambda _: None,
    prompts: Mapping[str, str] | None = None,
    despite_gate: bool = False,
    too_slow: Callable[[str], str | None] = lambda _: None,
) -> LedgerEntry | None:
    """Promote a challenger that passed its gate, to champion or canary; None if it already is champion, or this canary.

    ``despite_gate``: also one that did not; the ledger then keeps the verdict, and every answer names the decision.
    ``too_slow``: why a version lets people wait too long, asked last, since it is measured; None if it does not.

    Raises ``ReleaseError``, and changes nothing, if the verdict is missing or not ``promoted``, the model's code is not
    committed, or the model is too large for the target, or too slow.
    """
    verdict = read_verdict(verdict_folder(root, model))
    if verdict is None:
        raise ReleaseError(f"{model.name}: no verdict yet; run `cortex run` first")
    version = str(verdict["model_version"])
    current, lines = champion(root, model), moves(root, model)
    plan = deployment.plan() if deployment else None
    is_trial = plan is not None and plan["strategy"] in ("canary", "shadow")
    running = ledger.canary(lines)
    if version == current.champion or (is_trial and running and (running.version, running.plan) == (version, plan)):
        return None
    failure = None if verdict["verdict"] == "promoted" else str(verdict["verdict"])
    if failure and not despite_gate:
        raise _not_promoted(model, f"the gate's verdict is {failure}: {verdict['reason']}")
    _require_committed(root, model, version, report)
    _require_size(root, model, version, deployment)
    if failure is None and (failure := too_slow(version)) and not despite_gate:
        raise _not_promoted(model, failure)
    number, _ = ledger.next_number(root, model, version)
    folder = verdict_folder(root, model)
    answering, refit = read_release(folder), read_difference(folder)
    entry = LedgerEntry(
        **vars(act),
        action="canary" if is_trial else "promote",
        model=model.name,
        version=version,
        previous=current.champion,
        number=number,
        made_from=version_inputs(root, model.address, version) or ledger.latest(lines, version, "made_from"),
        plan=plan,
        release=answering.as_dict() if answering and answering.adapter == version else None,
        prompts=dict(prompts) if prompts else None,
        inputs=inputs_of(root, model.address, version) or ledger.inputs_of(lines, version),
        refit=content_md5(folder) if refit and refit["judged"] == version else None,
        despite_gate=f"served by decision of {act.by} on {act.at[:10]}, although its gate says {failure}: {act.why}"
        if failure
        else None,
    )
    record(root, model, current if is_trial else ChampionPin(version, current.champion), entry)
    return entry


def _not_promoted(model: ReleasedModel, reason: str) -> ReleaseError:
    return ReleaseError(
        f"{model.name}: {reason}; the champion stays. To serve it all the same, marked in every answer: "
        f'`cortex promote {model.name} --despite-gate --why "…"`'
    )


def advance(root: Path, model: ReleasedModel, act: ReleaseAction, version: str) -> LedgerEntry | None:
    """Make a running canary champion after an analysis of its answers; None if ``version`` is no longer the canary."""
    running = ledger.canary(moves(root, model))
    if running is None or running.version != version:
        return None
    previous = champion(root, model).champion
    planned = {name: value for name, value in (running.plan or {}).items() if name == "target"}
    plan = {"strategy": "immediate", **planned}
    entry = replace(running, **vars(act), action="promote", previous=previous, plan=plan)
    record(root, model, ChampionPin(version, previous), entry)
    return entry


def leave_undecided(root: Path, model: ReleasedModel, act: ReleaseAction, version: str) -> LedgerEntry | None:
    running = ledger.canary(moves(root, model))
    if running is None or running.version != version:
        return None
    forgotten: dict[str, Any] = dict.fromkeys(("made_from", "plan", "release", "prompts", "inputs", "refit"))
    entry = replace(running, **vars(act), **forgotten, action="undecided")
    record(root, model, champion(root, model), entry)
    return entry


def rollback(root: Path, model: ReleasedModel, act: ReleaseAction, to: str | None = None) -> LedgerEntry | None:
    """End the running canary, else reinstate the previous champion; None if nothing was to be done.

    A second rollback does nothing, so it is safe to repeat; ``to`` goes further back. Raises ``ReleaseError`` if the
    model has no champion, ``LookupError`` if ``to`` was never champion.
    """
    pin, lines = champion(root, model), moves(root, model)
    running = ledger.canary(lines)
    replaced = pin.champion
    if to is None and lines and lines[-1].action == ledger.ROLLED_BACK:
        return None
    if to is None and running:
        replaced = running.version
    else:
        if replaced is None:
            raise ReleaseError(f"{model.name}: no champion to roll back")
        target = ledger.resolve(lines, to) if to else pin.previous
        if target == replaced:
            return None
        former = (line.previous for line in lines if line.action == "promote" and line.version == target)
        pin = ChampionPin(target, next(former, None))
    entry = LedgerEntry(
        **vars(act),
        action=ledger.ROLLED_BACK,
        model=model.name,
        version=pin.champion,
        previous=replaced,
        number=ledger.numbers(lines).get(pin.champion or ""),
    )
    record(root, model, pin, entry)
    return entry


def may_be_promoted(root: Path, model: ReleasedModel) -> bool:
    """Whether a nightly run may promote the challenger: it passed and was not rolled back."""
    verdict = read_verdict(verdict_folder(root, model)) or {}
    version = verdict.get("model_version")
    if verdict.get("verdict") != "promoted" or version == champion(root, model).champion:
        return False
    return not ledger.was_rolled_back(moves(root, model), str(version))


def verdict_folder(root: Path, model: ReleasedModel) -> Path:
    folder = root / "data" / f"{model.asset}_release"
    return folder / model.partition if model.partition else folder


def model_roles(root: Path, model: ReleasedModel) -> dict[str, Any]:
    """Release status of a model. Returns ``model, challenger, verdict, reason, champion, previous, canary``
    (versions, or None), ``numbers`` (version to semantic version), ``next_number`` and ``next_reason`` (of the
    challenger), ``archived`` (versions), and of the canary, else of the champion, ``plan`` and ``despite_gate``.
    """
    verdict = read_verdict(verdict_folder(root, model)) or {}
    pin, lines = champion(root, model), moves(root, model)
    running = ledger.canary(lines)
    challenger = verdict.get("model_version")
    number, number_reason = ledger.next_number(root, model, challenger) if challenger else (None, None)
    canary = running.version if running else None
    return {
        "model": model.name,
        "challenger": challenger,
        "verdict": verdict.get("verdict"),
        "reason": verdict.get("reason"),
        "champion": pin.champion,
        "previous": pin.previous,
        "canary": canary,
        "numbers": ledger.numbers(lines),
        "next_number": number,
        "next_reason": number_reason,
        "archived": [version for version in ledger.champions(lines) if version != pin.champion],
        "plan": ledger.latest(lines, canary or pin.champion, "plan"),
        "despite_gate": ledger.overridden_gate(lines, canary or pin.champion) or None,
    }


def _require_committed(root: Path, model: ReleasedModel, version: str, report: Callable[[str], None]) -> None:
    """Refuse a model whose code is not committed, since it could not be reproduced."""
    stages = locked_stages(root)
    addresses = path_to(stages, stage_address(f"{model.asset}_release", model.partition))
    if not addresses or version_inputs(root, model.address, version) is None:
        report(f"{model.name}: not in dvc.lock, so its code version was not checked")
        return
    dirty = uncommitted(root, code_of(stages, addresses))
    if dirty is None:
        report(f"{model.name}: no git repository, so whether its code is committed was not checked")
        return
    if dirty:
        raise ReleaseError(
            f"{model.name}: its code is not committed: {_first_names(dirty)}; commit it, then "
            "promote; the champion stays"
        )
    if differing := differing_code(root, stages, addresses):
        raise ReleaseError(
            f"{model.name}: it was made by code that differs from the checked-out commit: "
            f"{_first_names(differing)}; run `cortex run` to make it again; the champion stays"
        )


def _require_size(root: Path, model: ReleasedModel, version: str, deployment: DeploymentSettings | None) -> None:
    folder = root / "data" / model.asset / (model.partition or "")
    if deployment is None or content_md5(folder) != version:
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    limit = float(getattr(deployment.model_mib, deployment.target))
    if size > limit:
        raise ReleaseError(
            f"{model.name}: its files take {size:.1f} MiB, the target {deployment.target} "
            f"allows {limit:g} (deployment.model_mib in params.yaml); the champion stays"
        )


def _first_names(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (" …" if len(names) > _MAX_NAMES else "")
