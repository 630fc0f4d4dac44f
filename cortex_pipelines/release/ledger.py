"""``releases.lock``: which version of each model is champion, and how that came about.

The file is in git and nothing but a promotion, a rollback and the end of a nightly run moves it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_pipelines.versioning.opponent import ChampionPin, model_name
from cortex_pipelines.versioning.project import look_up, read_yaml, write_yaml

FILE = "releases.lock"


class ReleaseError(RuntimeError):
    """A promotion or rollback is refused; the message says why."""


@dataclass(frozen=True)
class Model:
    """A model that is released.

    Args:
        asset: Asset whose output is the model.
        partition: Project it belongs to; None if it is for all.
    """

    asset: str
    partition: str | None

    @property
    def name(self) -> str:
        """Name in the registry, in the ledger and on the command line."""
        return model_name(self.asset, self.partition)

    @property
    def key(self) -> str:
        """Dotted key of its pin in ``releases.lock``."""
        return f"champions.{self.asset}" + (f".{self.partition}" if self.partition else "")


@dataclass(frozen=True)
class Entry:
    """A line of the ledger.

    Args:
        at: When, ISO 8601 in UTC.
        by: Who.
        action: ``promote`` or ``rollback``.
        model: Name of the model.
        version: Version that is champion from then on; None if none is.
        previous: Version that was champion until then; None if there was none.
        why: The reason given.
    """

    at: str
    by: str
    action: str
    model: str
    version: str | None
    previous: str | None
    why: str


def load_pin(_: Any, value: dict[str, str | None] | None) -> ChampionPin:
    """A pin from its value in ``releases.lock``."""
    return ChampionPin(**(value or {}))


def champion(root: Path, model: Model) -> ChampionPin:
    """What ``releases.lock`` names for a model."""
    return load_pin(None, look_up(read_yaml(root / FILE), model.key))


def ledger(root: Path) -> list[Entry]:
    """All promotions and rollbacks, oldest first."""
    return [Entry(**line) for line in read_yaml(root / FILE).get("ledger") or []]


def ensure_keys(root: Path, models: list[Model]) -> None:
    """Give every model a key, and drop those of projects that are gone.

    DVC takes an absent key for an error, an empty one for a value.
    """
    lock = read_yaml(root / FILE)
    champions: dict[str, Any] = {}
    for model in sorted(models, key=lambda m: m.name):
        value = look_up(lock, model.key)
        if model.partition:
            champions.setdefault(model.asset, {})[model.partition] = value
        else:
            champions[model.asset] = value
    wanted = {"champions": champions, "ledger": lock.get("ledger") or []}
    if lock != wanted:
        write_yaml(root / FILE, wanted)


def record(root: Path, model: Model, pin: ChampionPin, entry: Entry) -> None:
    """Move a model's pin and write the line that says so, in one step."""
    lock = read_yaml(root / FILE)
    champions = lock.setdefault("champions", {})
    value = {"champion": pin.champion, "previous": pin.previous}
    if model.partition:
        champions.setdefault(model.asset, {})[model.partition] = value
    else:
        champions[model.asset] = value
    lock.setdefault("ledger", []).append(vars(entry))
    write_yaml(root / FILE, lock)
