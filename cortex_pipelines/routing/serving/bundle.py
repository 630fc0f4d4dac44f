"""Save and load a trained router without the encoder's weights; no pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.routing.features import FeatureExtractor
from cortex_pipelines.routing.keyword_rules import Rules, load_rules, parse_rules
from cortex_pipelines.routing.models.base import CandidateModel, KeywordRules, LearntArrays
from cortex_pipelines.routing.models.knn import KnnClassifier
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, KernelRidge, TfidfLogreg
from cortex_pipelines.routing.models.network import JointNetwork
from cortex_pipelines.routing.selection.first_tier import FirstTier, word_columns
from cortex_pipelines.routing.selection.out_of_scope import OutOfScopeModel, read_requests
from cortex_pipelines.versioning.content import content_md5

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
VOCABULARY_FILE = "vocabulary.json"
NEIGHBOURS_FILE = "neighbours.jsonl"
RULES_FILE = "rules.json"

_CLASSES: dict[str, type[LearntArrays | JointNetwork]] = {
    "lexical": TfidfLogreg,
    "semantic": EmbeddingLogreg,
    "kernel": KernelRidge,
    "joint": JointNetwork,
}
_ALWAYS_SAVED = ("joint", "retrieval")  # candidates always saved: what to compare with; evidence and familiarity


class RouterError(RuntimeError):
    """A router cannot be loaded or has no model and no rules."""


@dataclass(frozen=True)
class RouterConfig:
    """A router's decision thresholds (probabilities), counts, encoder settings and the weight of each candidate.

    ``scope`` is slope and bias of the score that says how like known tasks one is; ``in_scope`` its limit.
    """

    masters: tuple[str, ...]
    weights: Mapping[str, float]
    scope: tuple[float, float]
    accept: float
    in_scope: float
    supporting: float
    alternatives: int
    evidence: int
    neighbours: int
    fallback_master: str | None
    max_tokens: int
    batch: int
    threads: int
    precision: str
    encoder: Mapping[str, Any]
    first_tier: FirstTier | None = None

    @property
    def saved(self) -> list[str]:
        """Candidates that decide, and those that give evidence or decide first."""
        return sorted({*self.weights, *_ALWAYS_SAVED, *(["lexical"] if self.first_tier else [])})


@dataclass(frozen=True)
class RouterBundle:
    """A router as loaded from its folder; ``version`` is its DataVersion."""

    config: RouterConfig
    extractor: FeatureExtractor
    candidates: Mapping[str, Any]
    scope: OutOfScopeModel
    neighbours: Sequence[Mapping[str, Any]]
    rules: Rules | None
    version: str

    @cached_property
    def known_words(self) -> tuple[Any, Any]:
        """``word_columns`` of known tasks and of everyday requests."""
        words, known = len(self.extractor.vocabulary["words"]), [task["text"] for task in self.neighbours]
        tasks, requests = (word_columns(self.extractor.lexical(texts), words) for texts in (known, read_requests()))
        return tasks, requests


def save_router(
    folder: Path,
    config: RouterConfig,
    extractor: FeatureExtractor,
    candidates: Mapping[str, CandidateModel],
    neighbours: Sequence[Mapping[str, Any]],
    rules: Mapping[str, Any] | None,
    requests: Floats,
) -> None:
    """Save a router for ``load_router``, without the candidates that are not needed to decide."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {f"extractor.{name}": value for name, value in extractor.arrays.items()}
    for candidate in config.saved:
        tensors |= {f"{candidate}.{name}": value for name, value in candidates[candidate].arrays().items()}
    tensors["scope.requests"] = requests
    with atomic_file(folder / WEIGHTS_FILE, durable=False) as scratch:
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, scratch)
    write_json(folder / CONFIG_FILE, asdict(config))
    write_json(folder / VOCABULARY_FILE, extractor.vocabulary)
    lines = [json.dumps(dict(task), sort_keys=True, ensure_ascii=True) for task in neighbours]
    (folder / NEIGHBOURS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if rules is not None:
        parse_rules(rules, RULES_FILE)
        write_json(folder / RULES_FILE, rules)


def load_router(folder: Path, version: str | None = None) -> RouterBundle:
    """Raises ``RouterError`` naming the file that is missing or is not what a router wrote.

    ``version`` is its DataVersion; None computes it of all files in the folder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config = load_config(folder)
    try:
        grouped: dict[str, dict[str, Floats]] = {}
        for name, value in load_file(folder / WEIGHTS_FILE).items():
            group, _, part = name.partition(".")
            grouped.setdefault(group, {})[part] = value
        vocabulary = json.loads((folder / VOCABULARY_FILE).read_text(encoding="utf-8"))
        text = (folder / NEIGHBOURS_FILE).read_text(encoding="utf-8")
        rules = load_rules(folder / RULES_FILE) if (folder / RULES_FILE).exists() else None
        candidates: dict[str, Any] = {}
        for name in config.saved:
            if name == "retrieval":
                candidates[name] = KnnClassifier.restore(grouped[name], len(config.masters), config.neighbours)
            elif name != "rules":
                candidates[name] = _CLASSES[name].restore(grouped[name])
            elif rules is None:
                raise KeyError(RULES_FILE)
            else:
                candidates[name] = KeywordRules(rules, config.masters, config.fallback_master)
        return RouterBundle(
            config,
            FeatureExtractor(grouped["extractor"], vocabulary),
            candidates,
            OutOfScopeModel(grouped["scope"]["requests"], *config.scope, config.in_scope),
            [json.loads(line) for line in text.splitlines()],
            rules,
            version or str(content_md5(folder)),
        )
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RouterError(
            f"{folder} contains no complete router of this version of cortex-pipelines ({WEIGHTS_FILE}, "
            f"{VOCABULARY_FILE}, {NEIGHBOURS_FILE}: {type(error).__name__}: {error}); train it again with "
            "`cortex run task_router` or `cortex router train`, or fetch it, if it is damaged, with `dvc pull`"
        ) from error


def load_config(folder: Path) -> RouterConfig:
    """Raises ``RouterError`` if the configuration of a trained router is missing or lacks something."""
    path = folder / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(values[name]) for name in ("masters", "scope")}
        tier = values.get("first_tier")
        return RouterConfig(**{**values, **lists, "first_tier": FirstTier(**tier) if tier else None})
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RouterError(
            f"{path} is not a router configuration of this version ({error}); make it again with "
            "`cortex run task_router` or `cortex router train`, or fetch it with `dvc pull`"
        ) from error
