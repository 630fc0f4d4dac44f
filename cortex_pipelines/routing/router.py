"""Routing tasks: the model decides where it is sure, else the rules, else a person."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.routing.encoder import Floats, SentenceEncoder
from cortex_pipelines.routing.head import Doubles, Head, load_head, save_head
from cortex_pipelines.routing.rules import Rules, load_rules, parse_rules

DecidedBy = Literal["model", "rules", "person"]

HEAD_FILE = "head.safetensors"
CONFIG_FILE = "config.json"
RULES_FILE = "rules.json"


class RouterError(RuntimeError):
    """A router cannot be loaded or has nothing to decide with."""


@dataclass(frozen=True)
class RouterConfig:
    """What a router needs to know besides its weights.

    Args:
        masters: Names of the masters, in the order of the head's outputs.
        temperature: Temperature of the head.
        accept: Probability from which the model decides.
        supporting: Probability from which another master is named as supporting.
        fallback_master: Master of tasks that the rules say nothing about, if any.
        max_tokens: Most tokens of a task that are read.
        batch: Texts embedded at once.
        threads: Processor threads.
        encoder: The encoder's pin.
    """

    masters: tuple[str, ...]
    temperature: float
    accept: float
    supporting: float
    fallback_master: str | None
    max_tokens: int
    batch: int
    threads: int
    encoder: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """Where a task goes.

    Args:
        master: The best guess, also where a person should decide; None if nothing speaks for any.
        confidence: With a model the calibrated probability that ``master`` is right; with rules
            alone their score, which is no probability.
        decided_by: ``model``, ``rules``, or ``person``: neither is sure, somebody should look.
        supporting: Other masters to involve, best first.
        probabilities: Master to probability; with rules alone their scores.
    """

    master: str | None
    confidence: float
    decided_by: DecidedBy
    supporting: tuple[str, ...]
    probabilities: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """The decision as plain values."""
        return {**asdict(self), "supporting": list(self.supporting)}


@dataclass(frozen=True)
class TrainedModel:
    """The learned part of a router.

    Args:
        head: The head.
        config: Its configuration.
        encoder: Makes the encoder, once it is needed.
    """

    head: Head
    config: RouterConfig
    encoder: Callable[[], SentenceEncoder]


class Router:
    """A router: model and rules, or the rules alone where no model has been promoted.

    Args:
        model: The learned part, if there is one.
        rules: The keyword rules, if there are any.
        fallback_master: Master of tasks that the rules say nothing about, if any.

    Raises:
        RouterError: there is neither a model nor rules.
    """

    def __init__(
        self, model: TrainedModel | None, rules: Rules | None, fallback_master: str | None
    ) -> None:
        if model is None and rules is None:
            raise RouterError(
                "no router: no model is promoted and the logs hold no routing-patterns.json; "
                "run `cortex run` to train one, or put a rules file beside the logs"
            )
        self._model = model
        self._rules = rules
        self._fallback = fallback_master
        self._encoder: SentenceEncoder | None = None

    @classmethod
    def load(cls, folder: Path, encoder_folder: Path) -> "Router":
        """A trained router.

        Args:
            folder: Output of the asset ``task_router``, any version of it.
            encoder_folder: Weights of the encoder that it was trained on.

        Raises:
            RouterError: a file is missing or is not what a router wrote; says which.
        """
        config = load_config(folder)
        try:
            head = load_head(folder / HEAD_FILE, config.temperature)
        except (OSError, ValueError) as error:
            raise RouterError(f"{folder / HEAD_FILE} cannot be read: {error}") from error

        def encoder() -> SentenceEncoder:
            return SentenceEncoder(encoder_folder, config.max_tokens, config.batch, config.threads)

        rules = load_rules(folder / RULES_FILE) if (folder / RULES_FILE).exists() else None
        return cls(TrainedModel(head, config, encoder), rules, config.fallback_master)

    @classmethod
    def from_rules(cls, path: Path, fallback_master: str | None) -> "Router":
        """The keyword router alone.

        Args:
            path: A ``routing-patterns.json``.
            fallback_master: Master of tasks that the rules say nothing about, if any.
        """
        return cls(None, load_rules(path), fallback_master)

    @property
    def rules(self) -> Rules | None:
        """The keyword rules, if there are any."""
        return self._rules

    def route(self, texts: Sequence[str]) -> list[Decision]:
        """Where each of the tasks goes."""
        if self._model is None:
            return [self.by_rules(text) for text in texts]
        if self._encoder is None:
            self._encoder = self._model.encoder()
        return self.route_embedded(texts, self._encoder.encode(texts))

    def route_embedded(self, texts: Sequence[str], embeddings: Floats) -> list[Decision]:
        """Where each task goes, its embedding being known."""
        if self._model is None or not texts:
            return [self.by_rules(text) for text in texts]
        probabilities = self._model.head.probabilities(embeddings)
        return [
            self._by_model(self._model.config, text, row)
            for text, row in zip(texts, probabilities, strict=True)
        ]

    def by_rules(self, text: str) -> Decision:
        """What the rules alone say; a score below their lowest threshold is for a person."""
        if self._rules is None:
            return Decision(None, 0.0, "person", (), {})
        said = self._rules.decide(text)
        by: DecidedBy = "rules" if said.master else "person"
        return Decision(said.master or self._fallback, said.score, by, said.supporting, said.scores)

    def _by_model(self, config: RouterConfig, text: str, row: Doubles) -> Decision:
        shares = {name: float(share) for name, share in zip(config.masters, row, strict=True)}
        ranked = sorted(shares, key=lambda name: -shares[name])
        master = ranked[0]
        by: DecidedBy = "model"
        if shares[master] < config.accept:
            sure = self._sure_rules(text)
            master, by = (sure, "rules") if sure in shares else (master, "person")
        others = tuple(
            name for name in ranked if name != master and shares[name] >= config.supporting
        )
        return Decision(master, shares[master], by, others, shares)

    def _sure_rules(self, text: str) -> str:
        """The master that the rules would let work alone; empty if they are not that sure."""
        if self._rules is None:
            return ""
        said = self._rules.decide(text)
        return said.master or "" if said.score >= self._rules.thresholds.single else ""


def save_router(
    folder: Path, head: Head, config: RouterConfig, rules: Mapping[str, Any] | None
) -> None:
    """Write a router so that ``Router.load`` finds it again."""
    save_head(head, folder / HEAD_FILE)
    values = {**asdict(config), "masters": list(config.masters), "encoder": dict(config.encoder)}
    _write_json(folder / CONFIG_FILE, values)
    if rules is not None:
        parse_rules(rules, RULES_FILE)
        _write_json(folder / RULES_FILE, rules)


def load_config(folder: Path) -> RouterConfig:
    """The configuration of a trained router.

    Raises:
        RouterError: it is missing or lacks something.
    """
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return RouterConfig(**{**values, "masters": tuple(values["masters"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RouterError(
            f"{path} is not the configuration of a router ({error}); "
            "make it again with `cortex run task_router`, or fetch it with `dvc pull`"
        ) from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
