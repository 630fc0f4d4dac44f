"""What fewer bits of the weights, and fewer weights, cost: bits per byte, questions, speed, memory.

``python -m benchmarks.less_memory train PROJECT``, then ``serve`` and ``prune``, in a finished one; with two
threads. Bits per byte are those of completions of the test split, with a paired interval of the difference from the
first row; questions are those of the evaluation. ``train`` keeps its adapters under ``.cortex/tmp/less-memory``, and
``serve`` takes that of fp32. Each measurement is a process of its own.
"""

import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured import own_peak
from cortex_pipelines.adapters.data.corpus import read_corpus
from cortex_pipelines.adapters.data.packing import TokenisedExample, ends_of_name
from cortex_pipelines.adapters.model.base_model import load_causal_model, load_tokenizer, resolve_base
from cortex_pipelines.adapters.training.launch import TrainingJob, run_training
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ComparedModels
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.multiple_choice import build_questions, choice_table
from cortex_pipelines.prompts.examples import DATASETS, Example, grouped_by_file, read_examples, sampled, without_gaps
from cortex_pipelines.release.exports.pruning import Pruning, completions, prune
from cortex_pipelines.release.open_model import pinned_base
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.serving.engines.engine import CACHE, AdapterFiles, Prompt, open_engine
from cortex_pipelines.serving.engines.llama_engine import LlamaEngine
from cortex_pipelines.serving.latency import answer_times, measure
from cortex_pipelines.statistics.intervals import paired_bootstrap

ROOT, KEPT = Path.cwd(), Path(".cortex", "tmp", "less-memory")
ITEMS, CHOICES, TOKENS, THREADS, READ, TIMES = 32, 20, 10_000, 2, 512, 5
TRAINED = (("fp32", None, 20), ("fp32", None, 21), ("bf16", None, 20), ("bf16", "int8", 20), ("bf16", "nf4", 20))
"""Precision, quantisation and seed; the second seed shows what differs by chance."""
SERVED = (("torch", "fp32"), ("torch", "bf16"), *(("llama", width) for width in ("fp32", "q8", "q4")))
DROPPED = ((0, 0), (1, 0), (2, 0), (4, 0), (0, 1))
"""Layers, and groups of heads of each layer."""


class Held:
    """Completions and questions of a project's test split."""

    def __init__(self, project: str) -> None:
        folders = {name: ROOT / "data" / f"{name}_dataset" / project for name in DATASETS}
        self.folders = {name: folder for name, folder in folders.items() if folder.is_dir()}
        every = [row for name, folder in self.folders.items() for row in read_examples(folder, name, "test")]
        rows = sampled(without_gaps(self.folders["completion"], "completion", "test"), ITEMS, 0)
        self.items = grouped_by_file(rows, every)
        by_task = {
            name: grouped_by_file(without_gaps(folder, name, "test"), every) for name, folder in self.folders.items()
        }
        self.questions, _ = build_questions(by_task, CHOICES, 0)
        self._first: list[ItemScore] = []

    def report(self, what: str, scorer: ItemScorer, adapter: Path | None, more: str) -> None:
        """A row: bits per byte, difference from the first row, questions right, and what else was measured."""
        scores = scorer.scores(self.items, adapter)
        self._first = self._first or scores
        sizes = [score.bytes for score in scores]
        bits = sum(score.bits for score in scores) / sum(sizes)
        apart = [(score.bits - first.bits) / score.bytes for score, first in zip(scores, self._first, strict=True)]
        clusters = [item.cluster for item in self.items]
        change = paired_bootstrap(apart, weights=sizes, clusters=clusters, resamples=2000, confidence=0.95, seed=0)
        models = ComparedModels(adapter, None)
        chosen = choice_table(self.questions, [None] * len(self.questions), models, None, scorer, 0)
        right = int(chosen["challenger_chosen"].eq_missing(chosen["truth"]).sum())
        words = f"{bits:.3f} bits ({change.estimate:+.4f}, {change.low:+.4f} to {change.high:+.4f})"
        print(f"{what:<28} {words}, {right} of {len(self.questions)} right, {more}", flush=True)


class EngineScorer(ItemScorer):
    """By llama.cpp: each token of a text is forced, and its log-probability before that is taken."""

    def __init__(self, engine: LlamaEngine, adapter: Any, *inner: Any) -> None:
        super().__init__(*inner)
        self._process, self._known = engine._process(adapter), dict[tuple[str, str], ItemScore]()
        self._vocabulary = len(engine.tokenizer)

    def scores(self, items: Sequence[Example], adapter: Path | None, window: int | None = None) -> list[ItemScore]:
        for item in items:
            if (item.prompt, item.completion) not in self._known:
                (example,) = self.tokenised([item], window or self._settings.max_length)
                self._known[item.prompt, item.completion] = self._scored(example)
        return [self._known[item.prompt, item.completion] for item in items]

    def _scored(self, example: TokenisedExample) -> ItemScore:
        ids, nats, end = list(example.ids[: example.prompt_tokens]), 0.0, 0.0
        greedy = {"n_predict": 1, "temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "cache_prompt": True}
        for token in example.answer:
            forced = greedy | {"n_probs": 1, "logit_bias": [[token, 1e4]]}
            (step,) = self._process.generate(ids, forced, lambda: False)
            assert step.token == token, (step, token)
            nats, ids = nats - step.logprob, [*ids, token]
        if example.task == "naming":
            (step,) = self._process.generate(ids, greedy | {"n_probs": self._vocabulary}, lambda: False)
            chances = dict(step.top)
            stops = ends_of_name(self._tokenizer, self._vocabulary)
            end = -float(np.logaddexp.reduce([chances.get(int(stop), -inf) for stop in stops]))
        return ItemScore(nats, len(example.answer), example.text_bytes, 0, end)


def main(command: str, project: str) -> None:
    held, base, settings = Held(project), resolve_base(pinned_base(open_project(ROOT)), ROOT), evaluation()
    with tempfile.TemporaryDirectory() as folder:

        def scorer(precision: str, kept: str) -> tuple[Any, ...]:
            cache = RowCache(Path(folder) / kept, "")
            return pinned_base(open_project(ROOT)), ROOT, settings.model_copy(update={"precision": precision}), cache

        if command == "train":
            shutil.rmtree(KEPT, ignore_errors=True)
            every = ItemScorer(*scorer("bf16", "train"))
            for precision, quantisation, seed in TRAINED:
                label = f"{quantisation or precision}-{seed}"
                speed, peak, loss = in_own_process("train_one", project, precision, quantisation, seed, label)
                more = f"{speed:.0f} tokens/s, {peak:.0f} MiB, last loss {loss:.3f}"
                held.report(label, every, ROOT / KEPT / label, more)
            held.report("base", every, None, "")
        elif command == "serve":
            adapter = ROOT / KEPT / "fp32-20"
            for name, width in SERVED:
                if name == "torch":
                    scores = ItemScorer(*scorer(width, width))
                else:
                    engine = open_engine(base, serving(name, width), ROOT / CACHE)
                    loaded = engine.load(AdapterFiles("it", lambda: adapter))
                    scores = EngineScorer(engine, loaded, *scorer("fp32", width))
                read, write, memory = in_own_process("serve_one", name, width, str(adapter))
                more = f"reads {read:.0f}, writes {write:.1f} tokens/s, {memory:.0f} MiB"
                held.report(f"{name} {width}", scores, adapter, more)
                if name == "llama":
                    engine.close()
        else:
            rows = completions(held.folders["completion"], load_tokenizer(base), "train", 32)
            for layers, groups in DROPPED:
                model = load_causal_model(base, "fp32")
                if layers or groups:
                    prune(model, Pruning(layers, groups, rows, ()))
                scores = ItemScorer(*scorer("fp32", f"{layers}-{groups}"))
                scores._loaded = model
                size = sum(part.numel() * part.element_size() for part in model.parameters()) / 2**20
                held.report(f"{layers} layers, {groups} groups", scores, None, f"{size:.0f} MiB of weights")


def evaluation() -> Any:
    return load_parameters(ROOT).evaluation.model_copy(update={"threads": THREADS})


def serving(engine: str, width: str) -> Any:
    changes = {"engine": engine, "precision": width, "threads": THREADS, "free_mib": 0}
    return load_parameters(ROOT).serving.model_copy(update=changes)


def in_own_process(name: str, *arguments: Any) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.less_memory", name, json.dumps(arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1])


def train_one(project: str, precision: str, quantisation: str | None, seed: int, label: str) -> tuple[float, ...]:
    """Tokens a second, peak in MiB, and the mean loss of the last steps."""
    base = resolve_base(pinned_base(open_project(ROOT)), ROOT)
    changes = {"precision": precision, "quantisation": quantisation, "seed": seed, "threads": THREADS}
    changes |= {"max_tokens": TOKENS, "validation_tokens": 0, "canaries": 0, "divergence_factor": None}
    changes |= {"task_shares": {"completion": 0.7, "naming": 0.3}, "trainer": "own", "per_task": False}
    settings = load_parameters(ROOT).adapters.model_copy(update=changes)
    corpus = read_corpus(Held(project).folders, load_tokenizer(base), settings.model_copy(update={"seed": 0}))
    out = ROOT / KEPT / label
    out.mkdir(parents=True)
    result = run_training(TrainingJob(base, None, corpus, settings, out))
    loss = statistics.mean(step.loss for step in result.steps[-10:])
    return sum(step.tokens for step in result.steps) / result.seconds, own_peak(), loss


def serve_one(name: str, width: str, adapter: str) -> tuple[float, ...]:
    """Tokens a second read and written, with an adapter, and MiB of all processes."""
    base = resolve_base(pinned_base(open_project(ROOT)), ROOT)
    engine = open_engine(base, serving(name, width), ROOT / CACHE)
    loaded, numbers = engine.load(AdapterFiles("it", lambda: Path(adapter))), random.Random(0)
    timed = measure(engine, loaded, serving(name, width), 20)
    reads = []
    for _ in range(TIMES):
        prompt = Prompt(tuple(numbers.randrange(len(engine.tokenizer)) for _ in range(READ)), "", 0)
        reads.append(READ / answer_times(engine, prompt, 1, loaded)[0])
    engine.close()
    return max(reads), timed.tokens_per_second, timed.memory_mb * 1e6 / 2**20


if __name__ == "__main__":
    if sys.argv[1] in ("train_one", "serve_one"):
        print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))
    else:
        main(*sys.argv[1:])
