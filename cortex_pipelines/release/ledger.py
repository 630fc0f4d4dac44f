"""``releases.lock``: champions and history of releases, in git; changed by promotions, rollbacks, nightly runs."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.project_names import BASELINE
from cortex_pipelines.release.numbering import FIRST, classify_change, next_free_number, version_inputs
from cortex_pipelines.versioning.champions import ChampionPin, model_name
from cortex_pipelines.versioning.lock_file import stage_address
from cortex_pipelines.versioning.project import Project, look_up, peek_yaml, read_yaml, write_yaml

FILE = "releases.lock"

RELEASING = Path(".cortex", "releasing")  # marker file between an update of the ledger and that of the registry


class ReleaseError(RuntimeError):
    pass


@dataclass(frozen=True)
class ReleasedModel:
    asset: str
    partition: str | None

    @property
    def name(self) -> str:
        return model_name(self.asset, self.partition)

    @property
    def key(self) -> str:
        return f"champions.{self.asset}" + (f".{self.partition}" if self.partition else "")

    @property
    def address(self) -> str:
        return stage_address(self.asset, self.partition)


def project_models(project: Project) -> list[ReleasedModel]:
    return [
        ReleasedModel(asset.registers, partition)
        for asset in project.graph.order
        if asset.registers
        for partition in project.partitions_of(asset)
    ]


@dataclass(frozen=True)
class LedgerEntry:
    """``action``: ``promote``, ``canary`` (a share of the requests, the champion stays), ``rollback`` (from a
    champion, or from a canary), ``undecided`` (a canary continues), ``forget`` or ``merge`` (two branches decided:
    the later decision holds); the last three change no champion. ``version`` is None for the baseline; ``refit`` is
    the version of the release whose weights are served in its place; ``despite_gate`` is the decision to serve what the
    gate held back, in a sentence.
    """

    at: str
    by: str
    action: str
    model: str
    version: str | None
    previous: str | None
    why: str
    number: str | None = None
    made_from: dict[str, str] | None = None
    plan: dict[str, Any] | None = None
    release: dict[str, Any] | None = None
    prompts: dict[str, str] | None = None
    inputs: dict[str, str] | None = None
    refit: str | None = None
    despite_gate: str | None = None

    def as_dict(self) -> dict[str, Any]:
        optional = ("number", "made_from", "plan", "release", "prompts", "inputs", "refit", "despite_gate")
        return {k: v for k, v in vars(self).items() if k not in optional or v is not None}

    def describe(self) -> str:
        if self.action == "rollback":
            subject = f"{self.number or self.version} is" if self.version else "the baseline is"
            return f"{self.model}: {subject} champion again"
        if self.action == "canary" and "share" in (self.plan or {}):
            share = (self.plan or {})["share"]
            role = f"canary, for {share:.0%} of the requests; the champion stays"
        elif self.action == "canary":
            role = "canary, and answers in the background only; the champion stays"
        elif self.action == "undecided":
            role = "undecided and stays canary: promote it or roll it back"
        else:
            role = "champion"
        if self.release:
            role += f", answered by {self.release['way']}"
        if self.despite_gate:
            role += f", {self.despite_gate}; every answer says so"
        return f"{self.model} {self.number}: {self.version} is {role}"


def load_pin(_: Any, value: dict[str, str | None] | None) -> ChampionPin:
    return ChampionPin(**(value or {}))


def champion(root: Path, model: ReleasedModel) -> ChampionPin:
    return load_pin(None, look_up(peek_yaml(root / FILE), model.key))


def ledger(root: Path) -> list[LedgerEntry]:
    return [LedgerEntry(**line) for line in copy.deepcopy(peek_yaml(root / FILE).get("ledger") or [])]


def moves(root: Path, model: ReleasedModel) -> list[LedgerEntry]:
    lines = [line for line in ledger(root) if line.model == model.name]
    return [line for line in lines if line.action in ("promote", "canary", "rollback")]


def ensure_keys(root: Path, models: list[ReleasedModel]) -> None:
    """Add a missing key for every model (DVC treats that as an error), and drop those of removed projects."""
    lock = read_yaml(root / FILE)
    champions: dict[str, Any] = {}
    for model in sorted(models, key=lambda m: m.name):
        _set(champions, model, look_up(lock, model.key))
    updated = {"champions": champions, "ledger": lock.get("ledger") or []}
    if lock != updated:
        write_yaml(root / FILE, updated)


def _set(champions: dict[str, Any], model: ReleasedModel, value: Any) -> None:
    if model.partition:
        champions.setdefault(model.asset, {})[model.partition] = value
    else:
        champions[model.asset] = value


def record(root: Path, model: ReleasedModel, pin: ChampionPin, entry: LedgerEntry) -> None:
    """Update a model's pin (two versions alone, as evaluations depend on it) and append the entry, in one write."""
    lock = read_yaml(root / FILE)
    if load_pin(None, look_up(lock, model.key)) != pin:  # rewriting a key counts as a change
        _set(lock.setdefault("champions", {}), model, {"champion": pin.champion, "previous": pin.previous})
    lock.setdefault("ledger", []).append(entry.as_dict())
    write_yaml(root / FILE, lock)


ROLLED_BACK = "rollback"
_SERVING = ("promote", "canary", "undecided")


def numbers(lines: Sequence[LedgerEntry]) -> dict[str, str]:
    by_version: dict[str, str] = {}
    for line in lines:
        if line.version and line.number:
            by_version.setdefault(line.version, line.number)
    return by_version


def canary(lines: Sequence[LedgerEntry]) -> LedgerEntry | None:
    return lines[-1] if lines and lines[-1].action == "canary" else None


def champions(lines: Sequence[LedgerEntry]) -> list[str]:
    return list(dict.fromkeys(e.version for e in lines if e.action == "promote" and e.version))


def was_rolled_back(lines: Sequence[LedgerEntry], version: str) -> bool:
    """Whether the latest event of a version is a rollback: then it is promoted again only by name."""
    for line in reversed(lines):
        if version in (line.version, line.previous):
            return line.action == ROLLED_BACK and line.previous == version
    return False


def latest(lines: Sequence[LedgerEntry], version: str | None, name: str) -> Any:
    """The latest record of a version under a name, such as ``plan``, or None."""
    recorded = (getattr(e, name) for e in reversed(lines) if version and e.version == version)
    return next((value for value in recorded if value), None)


def inputs_of(lines: Sequence[LedgerEntry], version: str) -> dict[str, str] | None:
    """Versions of the assets that a released version was made from; None if not recorded."""
    inputs: dict[str, str] | None = latest(lines, version, "inputs")
    return inputs


def refit_of(lines: Sequence[LedgerEntry], version: str) -> str | None:
    """Version of the release whose refit weights replace those of a version; None if its own are served."""
    refits = [e.refit for e in lines if e.version == version and e.refit]
    return refits[-1] if refits else None


def overridden_gate(lines: Sequence[LedgerEntry], version: str | None) -> str:
    """The decision to serve a version that its gate held back; empty if it passed, or is not served."""
    entry = next((e for e in reversed(lines) if version and e.version == version and e.action in _SERVING), None)
    return (entry.despite_gate or "") if entry else ""


def prompts_of(lines: Sequence[LedgerEntry], version: str | None) -> dict[str, str]:
    promotions = [e for e in lines if version and e.version == version and e.action != ROLLED_BACK]
    return (promotions[-1].prompts or {}) if promotions else {}


def next_number(root: Path, model: ReleasedModel, version: str) -> tuple[str, str]:
    """The semantic version of a challenger, and the reason for it."""
    lines = moves(root, model)
    number_by_version = numbers(lines)
    if version in number_by_version:
        return number_by_version[version], "released before"
    current = champion(root, model).champion
    if not number_by_version:
        return FIRST, "the first release"
    # after a rollback to the baseline, compare with the newest release
    reference = current if current in number_by_version else list(number_by_version)[-1]
    step, reason = classify_change(latest(lines, reference, "made_from"), version_inputs(root, model.address, version))
    return next_free_number(number_by_version[reference], step, number_by_version.values()), f"{step}: {reason}"


def resolve(lines: Sequence[LedgerEntry], reference: str) -> str | None:
    """A former champion by semantic version or (abbreviated) DVC hash, None for ``baseline``; LookupError."""
    if reference == BASELINE:
        return None
    number_by_version = {version: numbers(lines).get(version, "") for version in champions(lines)}
    matches = [v for v, number in number_by_version.items() if reference == number or v.startswith(reference)]
    if len(matches) != 1:
        version_list = ", ".join(f"{n or '-'} ({v[:12]})" for v, n in number_by_version.items()) or "none yet"
        problem = "matches more than one version" if matches else "was never champion"
        raise LookupError(f"{reference} {problem}; known versions: {BASELINE}, {version_list}")
    return matches[0]
