"""Route tasks: by the models where confident, else by rules, else to a person."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import exp
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import EncoderError, Floats
from cortex_pipelines.embeddings.query_encoder import QueryEncoder
from cortex_pipelines.embeddings.threads import serving_threads, side_by_side
from cortex_pipelines.ingestion.pretrained_models import ModelSource, WeightsError, weights_folder
from cortex_pipelines.routing.features import Doubles, Indices
from cortex_pipelines.routing.keyword_rules import Rules, load_rules
from cortex_pipelines.routing.models.knn import nearest
from cortex_pipelines.routing.models.linear import TfidfLogreg, log_softmax
from cortex_pipelines.routing.selection.ensemble import combine
from cortex_pipelines.routing.selection.first_tier import signals, word_cosines
from cortex_pipelines.routing.selection.model_selection import JOINT
from cortex_pipelines.routing.selection.out_of_scope import NEAREST
from cortex_pipelines.routing.serving.bundle import RouterBundle, RouterError, load_config, load_router

PERSON = "person"
RULES = "rules"

_DIGITS = 6  # decimals of a decision; later ones depend on the batch
_CHUNK = 256  # tasks decided together, so that their similarities fit a processor cache
FIRST_TIER, ALL_MODELS = "tf-idf", "all"


@dataclass(frozen=True)
class Decision:
    """A routing decision.

    ``master`` is the best guess also where a person should decide (``abstained``, ``decided_by`` ``person``);
    ``confidence`` the calibrated probability that it is right, or with rules alone their score. ``in_scope`` is low
    where the task is like none that the router knows. ``decided_by`` is the voter whose say was the largest;
    ``tier`` says whether all models were asked, TF-IDF alone, or the rules. ``latency_ms`` of a batch is its share.
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
    tier: str = ALL_MODELS

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
        self._bundle, self.encoder, self._fallback = bundle, encoder, fallback_master
        self.rules = rules
        config = bundle.config if bundle else None
        self.version = bundle.version if bundle else RULES
        self.masters = config.masters if config else rules.masters if rules else ()
        self.weights: Mapping[str, float] = config.weights if config else {}
        self.in_scope = config.in_scope if config else 0.0  # below it a task goes to a person

    @classmethod
    def load(cls, folder: Path, encoder_folder: Path, version: str | None = None, quick: bool = False) -> "Router":
        """Load the output of ``task_router`` or ``cortex router train`` with the encoder's weights.

        ``version`` is its DataVersion; None computes it of all files. ``quick``: embed as ``SentenceEncoder.serve``
        does for people who wait, not for data. Raises ``RouterError`` naming the damaged file.
        """
        package = load_router(folder, version)
        config = package.config
        settings = (config.max_tokens, config.batch, config.threads, config.precision)
        encoder = QueryEncoder(encoder_folder, *settings, quick)
        return cls(package, encoder, package.rules, config.fallback_master)

    @classmethod
    def from_rules(cls, path: Path, fallback_master: str | None) -> "Router":
        """A router from a ``routing-patterns.json`` only."""
        return cls(None, None, load_rules(path), fallback_master)

    def route(self, texts: Sequence[str], asked: Doubles | None = None) -> list[Decision]:
        """``asked``: as of when masters' outcomes are known, in seconds since 1970 or NaN; without it all are."""
        if self._bundle is None:
            return [self.by_rules(text) for text in texts]
        decide = partial(self._decide, self._bundle)
        times = np.full(len(texts), np.inf) if asked is None else asked
        parts = [slice(start, start + _CHUNK) for start in range(0, len(texts), _CHUNK)]
        chunks = [(texts[part], times[part]) for part in parts]
        with serving_threads(1) if len(chunks) > 1 or "torch" in sys.modules else nullcontext():
            if len(chunks) < 2:
                return decide((texts, times)) if texts else []
            with side_by_side(decide, chunks, 1) as futures:
                return [decision for chunk in futures for decision in chunk.result()]

    def route_by_all(self, texts: Sequence[str]) -> list[Decision]:
        """Decisions of all models, also where the first tier would be sure."""
        if self._bundle is None or not texts:
            return [self.by_rules(text) for text in texts]
        needs_words = "lexical" in self._bundle.config.weights
        lexical = self._bundle.extractor.lexical(texts) if needs_words else np.zeros((len(texts), 0))
        return self._by_all_models(self._bundle, texts, np.full(len(texts), np.inf), lexical)

    def candidate_scores(
        self, texts: Sequence[str], embeddings: Floats, asked: Doubles | None = None, names: Sequence[str] = ()
    ) -> dict[str, Doubles]:
        """Log-probabilities of each master by each adopted candidate, or by those that are named."""
        if self._bundle is None:
            return {}
        features = self._bundle.extractor.features(texts, embeddings, asked=asked)
        candidates = self._bundle.candidates
        return {name: candidates[name].scores(features) for name in names or self._bundle.config.weights}

    def expected_outcomes(self, texts: Sequence[str], masters: Sequence[str], asked: Doubles) -> Doubles:
        """What each task comes to at a master by the joint network; see ``JointNetwork.outcomes``."""
        if self._bundle is None:
            return np.zeros((0, 7))
        features = self._bundle.extractor.features(texts, self.encode(texts), asked=asked)
        numbers = np.array([self.masters.index(master) for master in masters], dtype=np.int64)
        return np.asarray(self._bundle.candidates[JOINT].outcomes(features, numbers))

    def encode(self, texts: Sequence[str]) -> Floats:
        if self.encoder is None:
            return np.zeros((len(texts), 0), dtype=np.float32)
        return self.encoder.serve(texts)

    def by_rules(self, text: str) -> Decision:
        began = perf_counter()
        if self.rules is None:
            return Decision(None, 0.0, 0.0, (), (), PERSON, (), True, _since(began, 1), RULES, {}, RULES)
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
            tier=RULES,
            evidence=(),
            abstained=decision.master is None,
            latency_ms=_since(began, 1),
            model_version=RULES,
            probabilities=decision.scores,
        )

    def _decide(self, bundle: RouterBundle, tasks: tuple[Sequence[str], Doubles]) -> list[Decision]:
        """The first tier decides what it is sure of, all models the rest."""
        began, (texts, asked) = perf_counter(), tasks
        needs_words = bundle.config.first_tier is not None or "lexical" in bundle.config.weights
        lexical = bundle.extractor.lexical(texts) if needs_words else np.zeros((len(texts), 0))
        sure = self._first_tier(bundle, texts, lexical)
        unsure = [row for row in range(len(texts)) if row not in sure]
        by_all = self._by_all_models(bundle, [texts[row] for row in unsure], asked[unsure], lexical[unsure])
        decided = dict(zip(unsure, by_all, strict=True))
        took = _since(began, len(texts))
        return [replace(sure.get(row) or decided[row], latency_ms=took) for row in range(len(texts))]

    def _first_tier(self, bundle: RouterBundle, texts: Sequence[str], lexical: Any) -> dict[int, Decision]:
        """By row, decisions on tasks of which TF-IDF is sure."""
        config, tier = bundle.config, bundle.config.first_tier
        if tier is None:
            return {}
        model: TfidfLogreg = bundle.candidates["lexical"]
        logits = model.logits(lexical)
        to_tasks, to_requests = (word_cosines(lexical, known) for known in bundle.known_words)
        scores = tier.score(signals(logits, to_tasks, to_requests))
        logs = combine([log_softmax(logits)], [tier.weight])
        sure = [row for row in np.flatnonzero(scores >= tier.limit).tolist() if _has_words(texts[row])]
        neighbours, cosines = nearest(to_tasks[sure], config.evidence)
        decisions = {}
        for number, row in enumerate(sure):
            in_scope = max(config.in_scope, 1 / (1 + exp(-min(float(scores[row]), 50))))
            evidence = _evidence(bundle, neighbours[number], cosines[number])
            decisions[row] = self._decision(
                bundle, texts[row], np.exp(logs[row]), in_scope, "lexical", FIRST_TIER, evidence
            )
        return decisions

    def _by_all_models(
        self, bundle: RouterBundle, texts: Sequence[str], asked: Doubles, lexical: Any
    ) -> list[Decision]:
        if not texts:
            return []
        config = bundle.config
        features = bundle.extractor.features(texts, self.encode(texts), lexical, asked)
        retrieval = bundle.candidates["retrieval"]
        neighbours, cosines = retrieval.nearest(features, max(config.neighbours, config.evidence, NEAREST))
        scores = [
            retrieval.votes(neighbours, cosines)  # the neighbours are known
            if name == "retrieval"
            else bundle.candidates[name].scores(features)
            for name in config.weights
        ]
        logs = combine(scores, list(config.weights.values()))
        has_words = np.array([_has_words(text) for text in texts])
        if not has_words.all():
            counts = Counter(task["master"] for task in bundle.neighbours)
            shares = np.array([counts[name] + 1.0 for name in config.masters])
            logs[~has_words] = np.log(shares / shares.sum())
        scope = bundle.scope.score(cosines, features.sentence)
        scope[~has_words] = 0.0
        voters = _voters(config.weights, scores, logs)
        decisions = []
        for row, text in enumerate(texts):
            count = config.evidence if has_words[row] else 0
            evidence = _evidence(bundle, neighbours[row, :count], cosines[row, :count])
            shares, in_scope = np.exp(logs[row]), float(scope[row])
            decisions.append(self._decision(bundle, text, shares, in_scope, voters[row], ALL_MODELS, evidence))
        return decisions

    def _decision(
        self,
        bundle: RouterBundle,
        text: str,
        row: Doubles,
        in_scope: float,
        voter: str,
        tier: str,
        evidence: tuple[Mapping[str, Any], ...],
    ) -> Decision:
        config = bundle.config
        ranked = [
            (config.masters[index], round(float(row[index]), _DIGITS)) for index in np.argsort(-row, kind="stable")
        ]
        (master, confidence), *lower_ranked = ranked
        by = PERSON
        if in_scope >= config.in_scope:  # keywords know nothing of what is unlike all tasks
            if confidence >= config.accept:
                by = voter
            elif self.rules is not None:
                ruled = self.rules.decide(text)
                by = RULES if ruled.master == master and ruled.score >= self.rules.single else PERSON
        return Decision(
            master=master,
            confidence=confidence,
            in_scope=round(in_scope, _DIGITS),
            supporting=tuple(name for name, share in lower_ranked if share >= config.supporting),
            alternatives=tuple(lower_ranked[: config.alternatives]),
            decided_by=by,
            tier=tier,
            evidence=evidence,
            abstained=by == PERSON,
            latency_ms=0.0,
            model_version=bundle.version,
            probabilities=dict(zip(config.masters, map(float, row), strict=True)),
        )


def _has_words(text: str) -> bool:
    return any(char.isalnum() for char in text)


def _evidence(bundle: RouterBundle, neighbours: Indices, cosines: Floats) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {**bundle.neighbours[index], "similarity": round(float(cosine), _DIGITS)}
        for index, cosine in zip(neighbours, cosines, strict=True)
    )


def _voters(weights: Mapping[str, float], scores: Sequence[Doubles], logs: Doubles) -> list[str]:
    """For each task, the candidate with the largest margin for the chosen master."""
    names = list(weights)
    if logs.shape[1] < 2 or len(names) < 2:
        return [names[0]] * len(logs)
    ranked = np.argsort(-logs, axis=1, kind="stable")[:, :2]
    margins = [
        weight * (np.take_along_axis(score, ranked, axis=1) @ np.array([1.0, -1.0]))
        for score, weight in zip(scores, weights.values(), strict=True)
    ]
    return [names[index] for index in np.argmax(np.stack(margins), axis=0)]


def _since(began: float, tasks: int) -> float:
    return round((perf_counter() - began) * 1000.0 / tasks, 3)


def open_trained(folder: Path, root: Path, version: str | None = None, quick: bool = True) -> Router:
    """Raises ``RouterError`` if the folder holds no readable router, ``WeightsError`` without its encoder."""
    pin = dict(load_config(folder).encoder)
    # a pin repeats its entry of params.yaml
    source = ModelSource(**{key: pin[key] for key in ModelSource.model_fields if key in pin})
    return Router.load(folder, weights_folder(source, pin, root), version, quick)


class UnreadableChampionError(RuntimeError):
    """A former router cannot run any more; the message says why, without a full stop."""


def champion_decisions(
    folder: Path, version: str, root: Path, texts: Sequence[str], asked: Doubles | None = None
) -> list[Decision]:
    """Raises ``UnreadableChampionError`` if the format is outdated, or the encoder is missing."""
    try:
        return open_trained(folder, root, version, quick=False).route(texts, asked)
    except RouterError as error:
        raise UnreadableChampionError(
            f"The champion {version} was written by a version of the code whose routers cannot be read any more"
        ) from error
    except (WeightsError, EncoderError) as error:
        raise UnreadableChampionError(
            f"The champion {version} was trained on another encoder, which is no longer here ({type(error).__name__})"
        ) from error
