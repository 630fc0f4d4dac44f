"""Route tasks: by the models where confident, else by rules, else to a person."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import EncoderError, Floats
from cortex_pipelines.embeddings.query_encoder import QueryEncoder
from cortex_pipelines.embeddings.threads import serving_threads, side_by_side
from cortex_pipelines.ingestion.pretrained_models import ModelSource, WeightsError, weights_folder
from cortex_pipelines.routing.features import Doubles
from cortex_pipelines.routing.keyword_rules import Rules, load_rules
from cortex_pipelines.routing.selection.ensemble import combine
from cortex_pipelines.routing.selection.out_of_scope import NEAREST
from cortex_pipelines.routing.serving.bundle import RouterBundle, RouterError, load_config, load_router

PERSON = "person"
RULES = "rules"

_DIGITS = 6  # decimals of a decision; later ones depend on the batch
_BATCH = 4096  # tasks embedded together, of equal length, so that nothing is padded
_CHUNK = 256  # tasks decided together, so that their similarities fit a processor cache


@dataclass(frozen=True)
class Decision:
    """A routing decision.

    ``master`` is the best guess also where a person should decide (``abstained``, ``decided_by`` ``person``);
    ``confidence`` the calibrated probability that it is right, or with rules alone their score. ``in_scope`` is low
    where the task is like none that the router knows. ``decided_by`` is the voter whose say was the largest;
    ``latency_ms`` of a batch is its share.
    """

    master: str | None
    confidence: float
    in_scope: float
    supporting: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...]
    decided_by: str
    evidence: tuple[Mapping[str, Any], ...]
    abstained: bool
    latency_ms: float = field(compare=False)
    model_version: str
    probabilities: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        values = {name: value for name, value in vars(self).items() if name != "probabilities"}
        return values | {
            "supporting": list(self.supporting),
            "alternatives": [{"master": name, "probability": share} for name, share in self.alternatives],
            "evidence": [dict(task) for task in self.evidence],
        }


class Router:
    """A router: a trained one, or rules only where no model is promoted.

    Load it once, then route any number of tasks: ``Router.load(folder, encoder_folder).route(["Rotate the leaked
    key"])``. Raises ``RouterError`` with neither a model nor rules.
    """

    def __init__(
        self,
        bundle: RouterBundle | None,
        encoder: QueryEncoder | None,
        rules: Rules | None,
        fallback_master: str | None,
    ) -> None:
        if bundle is None and rules is None:
            raise RouterError(
                "no router: no model is promoted and the logs hold no routing-patterns.json; "
                "run `cortex run` to train one, or put a rules file beside the logs"
            )
        self._bundle, self._encoder, self._fallback = bundle, encoder, fallback_master
        self.rules = rules
        config = bundle.config if bundle else None
        self.version = bundle.version if bundle else RULES
        self.masters = config.masters if config else rules.masters if rules else ()
        self.weights: Mapping[str, float] = config.weights if config else {}
        self.in_scope = config.in_scope if config else 0.0  # below it a task goes to a person

    @classmethod
    def load(cls, folder: Path, encoder_folder: Path, version: str | None = None) -> "Router":
        """Load the output of ``task_router`` or ``cortex router train`` with the encoder's weights.

        ``version`` is its DataVersion; None computes it of all files. Raises ``RouterError`` naming the damaged file.
        """
        package = load_router(folder, version)
        config = package.config
        encoder = QueryEncoder(encoder_folder, config.max_tokens, config.batch, config.threads, config.precision)
        return cls(package, encoder, package.rules, config.fallback_master)

    @classmethod
    def from_rules(cls, path: Path, fallback_master: str | None) -> "Router":
        """A router from a ``routing-patterns.json`` only."""
        return cls(None, None, load_rules(path), fallback_master)

    def route(self, texts: Sequence[str]) -> list[Decision]:
        if self._bundle is None or self._encoder is None:
            return [self.by_rules(text) for text in texts]
        decisions: list[Decision] = []
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            start_time = perf_counter()
            embeddings = self.encode(part)
            spent = _since(start_time, len(part))
            decide = partial(self._decide, self._bundle, part, embeddings, spent)
            starts = range(0, len(part), _CHUNK)
            with serving_threads(1) if "torch" in sys.modules else nullcontext():
                if len(starts) == 1:
                    decisions += decide(0)
                    continue
                with side_by_side(decide, starts, 1) as futures:
                    decisions += [decision for chunk in futures for decision in chunk.result()]
        return decisions

    def candidate_scores(self, texts: Sequence[str], embeddings: Floats) -> dict[str, Doubles]:
        """Log-probabilities of each master by each adopted candidate."""
        if self._bundle is None:
            return {}
        features = self._bundle.extractor.features(texts, embeddings)
        candidates = self._bundle.candidates
        return {name: candidates[name].scores(features) for name in self._bundle.config.weights}

    def encode(self, texts: Sequence[str]) -> Floats:
        if self._encoder is None:
            return np.zeros((len(texts), 0), dtype=np.float32)
        return self._encoder.serve(texts)

    def by_rules(self, text: str) -> Decision:
        began = perf_counter()
        if self.rules is None:
            return Decision(None, 0.0, 0.0, (), (), PERSON, (), True, _since(began, 1), RULES, {})
        decision = self.rules.decide(text)
        ranked = sorted(decision.scores, key=lambda name: (-decision.scores[name], name))
        other_scores = tuple((name, decision.scores[name]) for name in ranked if name != decision.master)
        return Decision(
            master=decision.master or self._fallback,
            confidence=decision.score,
            in_scope=float(max(decision.scores.values()) > 0),
            supporting=decision.supporting,
            alternatives=tuple(pair for pair in other_scores if pair[1] > 0),
            decided_by=RULES if decision.master else PERSON,
            evidence=(),
            abstained=decision.master is None,
            latency_ms=_since(began, 1),
            model_version=RULES,
            probabilities=decision.scores,
        )

    def _decide(
        self, bundle: RouterBundle, all_texts: Sequence[str], embeddings: Floats, spent: float, start: int
    ) -> list[Decision]:
        """Decide a chunk of tasks, from ``start`` on; ``spent`` are the milliseconds that each of them took before."""
        began = perf_counter()
        texts, embeddings = all_texts[start : start + _CHUNK], embeddings[start : start + _CHUNK]
        config = bundle.config
        features = bundle.extractor.features(texts, embeddings)
        retrieval = bundle.candidates["retrieval"]
        neighbours, cosines = retrieval.nearest(features, max(config.neighbours, config.evidence, NEAREST))
        scores = [
            retrieval.votes(neighbours, cosines)  # the neighbours are known
            if name == "retrieval"
            else bundle.candidates[name].scores(features)
            for name in config.weights
        ]
        logs = combine(scores, list(config.weights.values()))
        has_words = np.array([any(char.isalnum() for char in text) for text in texts])
        if not has_words.all():
            counts = Counter(task["master"] for task in bundle.neighbours)
            shares = np.array([counts[name] + 1.0 for name in config.masters])
            logs[~has_words] = np.log(shares / shares.sum())
        scope = bundle.scope.score(cosines, features.sentence)
        scope[~has_words] = 0.0
        voters = _voters(config.weights, scores, logs)
        took = round(spent + _since(began, len(texts)), 3)
        decisions = []
        for row, text in enumerate(texts):
            count = config.evidence if has_words[row] else 0
            evidence = tuple(
                {**bundle.neighbours[index], "similarity": round(float(cosine), _DIGITS)}
                for index, cosine in zip(neighbours[row, :count], cosines[row, :count], strict=True)
            )
            decisions.append(
                self._decision(bundle, text, np.exp(logs[row]), float(scope[row]), voters[row], evidence, took)
            )
        return decisions

    def _decision(
        self,
        bundle: RouterBundle,
        text: str,
        row: Doubles,
        in_scope: float,
        voter: str,
        evidence: tuple[Mapping[str, Any], ...],
        latency_ms: float,
    ) -> Decision:
        config = bundle.config
        ranked = [
            (config.masters[index], round(float(row[index]), _DIGITS)) for index in np.argsort(-row, kind="stable")
        ]
        (master, confidence), *lower_ranked = ranked
        by = PERSON
        if in_scope >= config.in_scope:  # keywords know nothing of what is unlike all tasks
            sure = False
            if self.rules is not None:
                ruled = self.rules.decide(text)
                sure = ruled.master == master and ruled.score >= self.rules.single
            by = voter if confidence >= config.accept else RULES if sure else PERSON
        return Decision(
            master=master,
            confidence=confidence,
            in_scope=round(in_scope, _DIGITS),
            supporting=tuple(name for name, share in lower_ranked if share >= config.supporting),
            alternatives=tuple(lower_ranked[: config.alternatives]),
            decided_by=by,
            evidence=evidence,
            abstained=by == PERSON,
            latency_ms=latency_ms,
            model_version=bundle.version,
            probabilities=dict(zip(config.masters, map(float, row), strict=True)),
        )


def _voters(weights: Mapping[str, float], scores: Sequence[Doubles], logs: Doubles) -> list[str]:
    """For each task, the candidate with the largest margin for the chosen master."""
    names = list(weights)
    if logs.shape[1] < 2:
        return [names[0]] * len(logs)
    ranked = np.argsort(-logs, axis=1, kind="stable")[:, :2]
    margins = [
        weight * (np.take_along_axis(score, ranked, axis=1) @ np.array([1.0, -1.0]))
        for score, weight in zip(scores, weights.values(), strict=True)
    ]
    return [names[index] for index in np.argmax(np.stack(margins), axis=0)]


def _since(began: float, tasks: int) -> float:
    return round((perf_counter() - began) * 1000.0 / tasks, 3)


def open_trained(folder: Path, root: Path, version: str | None = None) -> Router:
    """Raises ``RouterError`` if the folder holds no readable router, ``WeightsError`` without its encoder."""
    pin = dict(load_config(folder).encoder)
    # a pin repeats its entry of params.yaml
    source = ModelSource(**{key: pin[key] for key in ModelSource.model_fields if key in pin})
    return Router.load(folder, weights_folder(source, pin, root), version)


class UnreadableChampionError(RuntimeError):
    """A former router cannot run any more; the message says why, without a full stop."""


def champion_decisions(folder: Path, version: str, root: Path, texts: Sequence[str]) -> list[Decision]:
    """Raises ``UnreadableChampionError`` if the format is outdated, or the encoder is missing."""
    try:
        return open_trained(folder, root, version).route(texts)
    except RouterError as error:
        raise UnreadableChampionError(
            f"The champion {version} was written by a version of the code whose routers cannot be read any more"
        ) from error
    except (WeightsError, EncoderError) as error:
        raise UnreadableChampionError(
            f"The champion {version} was trained on another encoder, which is no longer here ({type(error).__name__})"
        ) from error
