"""A small CNN over the words of each statement, and a transformer over the statements of a function."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args
from zlib import crc32

import numpy as np

from cortex_pipelines.augmentation.mutation.operator import ErrorType
from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.extraction.refactoring.model import identifier_words
from cortex_pipelines.learned.defects.statements import Region
from cortex_pipelines.learned.settings import DefectSettings

KINDS: tuple[str, ...] = get_args(ErrorType)
_WEIGHTS, _SHAPE = "network.safetensors", "network.json"
_TOKEN = re.compile(r"[^\W\d]\w*|\d+|[^\w\s]+")
_BUCKETS, _NODE_TYPES, _DEPTHS = 4096, 128, 10
_STATEMENTS, _WORDS = 48, 24
"""Most statements that are read at once, and most words of each."""


@dataclass(frozen=True)
class NetworkShape:
    width: int
    layers: int
    findings: tuple[str, ...]
    """Labels of anti-patterns that are told besides."""


@dataclass(frozen=True)
class TrainingRow:
    """A function: its wrong statement and the family of the mistake (None: it is right), and its anti-patterns."""

    region: Region
    defect: int | None
    kind: str | None
    findings: frozenset[str]


def words_of(text: str) -> list[int]:
    """Numbers of the words and signs of a statement; 0 is padding."""
    parts = (
        part
        for token in _TOKEN.findall(text)
        for part in (identifier_words(token) if token[0].isalpha() or token[0] == "_" else (token,))
    )
    return [1 + crc32(part.encode()) % (_BUCKETS - 1) for part in parts][:_WORDS]


def _module(shape: NetworkShape) -> Any:
    import torch
    from torch import nn

    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = shape.width
            self.words = nn.Embedding(_BUCKETS, width // 2, padding_idx=0)
            self.narrow = nn.Conv1d(width // 2, width // 2, 1)
            self.wide = nn.Conv1d(width // 2, width // 2, 3, padding=1)
            self.node = nn.Embedding(_NODE_TYPES, width)
            self.depth = nn.Embedding(_DEPTHS, width)
            self.place = nn.Embedding(_STATEMENTS, width)
            layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
            self.statements = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
            self.which = nn.Linear(width, 1)
            self.whole = nn.Linear(2 * width, 1)
            self.kind = nn.Linear(width, len(KINDS))
            self.findings = nn.Linear(width, max(1, len(shape.findings)))

        def forward(self, words: torch.Tensor, nodes: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """Words (functions, statements, words), node type and depth (functions, statements, 2), which are there.

            Gives logits: of each statement, of the function, of each statement's kinds, of the anti-patterns.
            """
            count, length, most = words.shape
            embedded = self.words(words.reshape(count * length, most)).transpose(1, 2)
            convolved = torch.cat([self.narrow(embedded), self.wide(embedded)], dim=1).relu()
            pooled = convolved.max(dim=2).values.reshape(count, length, -1)
            order = self.place(torch.arange(length))
            inputs = pooled + self.node(nodes[:, :, 0]) + self.depth(nodes[:, :, 1]) + order
            states = self.statements(inputs, src_key_padding_mask=~mask)
            present = mask.unsqueeze(2)
            mean = (states * present).sum(dim=1) / present.sum(dim=1)
            largest = states.masked_fill(~present, -1e9).max(dim=1).values
            statement_logits = self.which(states).squeeze(2).masked_fill(~mask, -1e9)
            region_logits = self.whole(torch.cat([mean, largest], dim=1)).squeeze(1)
            return statement_logits, region_logits, self.kind(states), self.findings(mean)

    return Recogniser()


@dataclass(frozen=True)
class DefectNetwork:
    module: Any
    shape: NetworkShape

    def scores(self, region: Region) -> tuple[np.ndarray, float]:
        """A logit for each statement and for the region."""
        import torch

        statement_logits: list[float] = []
        region_logits: list[float] = []
        with torch.no_grad():
            for begin in range(0, len(region.statements), _STATEMENTS):
                logits, logit, *_ = self.module(*_inputs([(region, begin)]))
                statement_logits += logits[0].tolist()
                region_logits.append(float(logit[0]))
        return np.array(statement_logits), max(region_logits)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in self.module.state_dict().items()}, folder / _WEIGHTS)
        (folder / _SHAPE).write_text(json.dumps(asdict(self.shape), sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "DefectNetwork | None":
        """None where no network was trained."""
        from safetensors.torch import load_file

        if not (folder / _SHAPE).exists():
            return None
        facts = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
        shape = NetworkShape(facts["width"], facts["layers"], tuple(facts["findings"]))
        module = _module(shape)
        module.load_state_dict(load_file(folder / _WEIGHTS))
        return cls(module.eval(), shape)


def _inputs(parts: Sequence[tuple[Region, int]]) -> tuple[Any, Any, Any]:
    """Regions, each from one of its statements on, as the network reads them."""
    import torch

    windows = [(region.texts(), region.statements, begin) for region, begin in parts]
    longest = max(min(_STATEMENTS, len(statements) - begin) for _, statements, begin in windows)
    words = np.zeros((len(windows), longest, _WORDS), dtype=np.int64)
    nodes = np.zeros((len(windows), longest, 2), dtype=np.int64)
    mask = np.zeros((len(windows), longest), dtype=bool)
    for row, (texts, statements, begin) in enumerate(windows):
        for column, number in enumerate(range(begin, min(begin + longest, len(statements)))):
            each, numbers = statements[number], words_of(texts[number])
            words[row, column, : len(numbers)] = numbers
            nodes[row, column] = crc32(each.kind.encode()) % _NODE_TYPES, min(each.depth, _DEPTHS - 1)
            mask[row, column] = True
    return torch.from_numpy(words), torch.from_numpy(nodes), torch.from_numpy(mask)


def train_network(rows: Sequence[TrainingRow], settings: DefectSettings) -> DefectNetwork | None:
    """Train on functions with and without a known mistake. None: too few of either."""
    import torch

    rows = [row for row in rows if row.defect is None or row.defect < _STATEMENTS]
    wrong = sum(row.defect is not None for row in rows)
    if min(wrong, len(rows) - wrong) < settings.batch:
        return None
    labels = sorted({label for row in rows for label in row.findings})
    shape = NetworkShape(settings.width, settings.layers, tuple(labels))
    with pinned_threads(settings.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = _module(shape)
        batches = list(_batches(rows, shape, settings.batch))
        optimiser = torch.optim.AdamW(module.parameters(), lr=settings.learning_rate)
        total = settings.epochs * len(batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=total)
        for _ in range(settings.epochs):
            for number in torch.randperm(len(batches)).tolist():
                optimiser.zero_grad()
                _loss(module, *batches[number]).backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                schedule.step()
    return DefectNetwork(module.eval(), shape)


def _batches(rows: Sequence[TrainingRow], shape: NetworkShape, size: int) -> Iterator[tuple[Any, ...]]:
    """Batches of functions of a like length, with where the mistake is (-1: nowhere), its kind and anti-patterns."""
    import torch

    by_length = sorted(rows, key=lambda row: len(row.region.statements))
    for begin in range(0, len(by_length), size):
        part = by_length[begin : begin + size]
        defects = torch.tensor([-1 if row.defect is None else row.defect for row in part])
        kinds = torch.tensor([-1 if row.kind is None else KINDS.index(row.kind) for row in part])
        findings = torch.tensor([[float(label in row.findings) for label in shape.findings] or [0.0] for row in part])
        yield _inputs([(row.region, 0) for row in part]), defects, kinds, findings


def _loss(module: Any, inputs: Any, defects: Any, kinds: Any, findings: Any) -> Any:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    statement_logits, region_logits, kind_logits, finding_logits = module(*inputs)
    wrong = defects >= 0
    loss = binary_cross_entropy_with_logits(region_logits, wrong.float())
    loss = loss + 0.2 * binary_cross_entropy_with_logits(finding_logits, findings)
    if wrong.any():
        loss = loss + cross_entropy(statement_logits[wrong], defects[wrong])
        at_defect = kind_logits[wrong][torch.arange(int(wrong.sum())), defects[wrong]]
        loss = loss + 0.2 * cross_entropy(at_defect, kinds[wrong])
    return loss
