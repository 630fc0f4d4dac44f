"""Tokenise examples, divided at a token boundary, and pack several into one row.

Tokenizers merge white space with the following word, so tokenising a prompt that ends in a newline and a body that
begins with spaces separately gives tokens that never occur in files. Trailing white space of a prompt therefore belongs
to the completion: in training, in scoring, and in generation, which is forced to begin with it (token healing).

The loss is on completions; in training on prompts too, unless ``adapters.completion_only_loss``. A packed row separates
its examples by ``position_ids`` that restart with each; transformers builds the
block-diagonal mask from them only without an ``attention_mask``, so none is ever passed here.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cortex_pipelines.tokenization.text_encoder import Segments, continuation_ids, encoder_of, token_ids

if TYPE_CHECKING:
    from cortex_pipelines.prompts.examples import Example


def divide(prompt: str) -> tuple[str, str]:
    context = prompt.rstrip()
    return context, prompt[len(context) :]


def divide_segments(prompt: Segments) -> tuple[Segments, str]:
    """Split trailing white space off a prompt; a control token ends it."""
    remaining, space = list(prompt), ""
    while remaining and not remaining[-1].control:
        last = remaining.pop()
        text, trailing = divide(last.text)
        space = trailing + space
        if text:
            remaining.append(replace(last, text=text))
            break
    return tuple(remaining), space


@dataclass(frozen=True)
class ForcedStart:
    """Force generation to begin with a given text; for ``logits_processor``."""

    tokenizer: Any
    prompt_tokens: int
    start: str

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch

        for row, row_scores in zip(ids, scores, strict=True):
            generated = self.tokenizer.decode(row[self.prompt_tokens :], clean_up_tokenization_spaces=False)
            remaining = self.start[len(generated) :]
            if not remaining:
                continue
            row_scores[barred_before(self.tokenizer, len(row_scores), remaining)] = -torch.inf
        return scores


@lru_cache(64)
def barred_before(tokenizer: Any, size: int, start: str) -> Any:
    """Which tokens of a vocabulary do not begin ``start``, nor with it, as a mask; of none if all do not."""
    import torch

    texts = token_texts(tokenizer, size)
    barred = [not text or not (text.startswith(start) or start.startswith(text)) for text in texts]
    return torch.tensor(barred) if not all(barred) else torch.zeros(size, dtype=torch.bool)


@lru_cache(maxsize=2)
def ends_of_name(tokenizer: Any, size: int) -> list[int]:
    """Tokens that cannot continue a name: they do not begin with a letter, digit or ``_``.

    Args:
        tokenizer: A transformers tokenizer.
        size: Number of tokens that the model scores.
    """
    texts = token_texts(tokenizer, size)
    return [
        token
        for token, text in enumerate(texts)
        if not (text and (text[0].isalnum() or text[0] in "_$\N{REPLACEMENT CHARACTER}"))
    ]


@lru_cache(maxsize=2)
def token_texts(tokenizer: Any, size: int) -> Sequence[str]:
    """Text of each token; empty for special tokens and beyond the vocabulary."""
    (prefix,) = token_ids(tokenizer, ["x"])
    vocabulary_size = min(size, len(tokenizer))
    # decoded after another token: some tokenizers drop a text's leading space
    texts = tokenizer.batch_decode(
        [[*prefix, token] for token in range(vocabulary_size)],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return [text.removeprefix("x") for text in texts] + [""] * (size - vocabulary_size)


IGNORED = -100  # cross-entropy's own mark for "no target here"
_PROMPT_PART = 4  # the prompt keeps at least a quarter of the window
_BATCH = 256
_TELLING = 3  # lines that a place in a file is told by
_AFTER = 3
"""A third of the context of a gap is code after it if both sides are long, as in the examples
(``datasets.max_prompt_bytes`` and ``max_suffix_bytes``)."""


@dataclass(frozen=True)
class TokenisedExample:
    """A tokenised example, truncated to the context window.

    ``prompt_tokens`` is without trailing white space, at least 1; ``text_tokens`` counts that and the completion,
    without the end token.
    """

    example_id: str
    task: str
    ids: tuple[int, ...]
    prompt_tokens: int
    text_tokens: int
    text_bytes: int
    learn_prompt: bool = False

    @property
    def answer(self) -> tuple[int, ...]:
        return self.ids[self.prompt_tokens : self.prompt_tokens + self.text_tokens]

    def targets(self) -> list[int]:
        """Target token at each position; ignored after the end and, unless ``learn_prompt``, in the prompt."""
        following = [*self.ids[1:], IGNORED]
        prompt_only = 0 if self.learn_prompt else self.prompt_tokens - 1
        return [IGNORED] * prompt_only + following[prompt_only:]


@dataclass(frozen=True)
class PackedRow:
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def supervised(self) -> int:
        return sum(target != IGNORED for target in self.targets)


def tokenise(tokenizer: Any, examples: Sequence["Example"], max_length: int) -> Iterator[TokenisedExample]:
    """Tokenise examples in order; examples without completion tokens are skipped.

    The white space between prompt and completion belongs to the completion, as the tokenizer splits it in a file too.
    Prompts that do not fit are truncated at the start, gaps on both sides. A completion that would leave the prompt
    less than a quarter of the window is truncated at the end and loses its end token.
    """
    from cortex_pipelines.prompts.examples import prompt_segments  # which needs polars

    for start in range(0, len(examples), _BATCH):
        chunk = examples[start : start + _BATCH]
        parts = []
        for example in chunk:
            shortened = example
            if example.suffix is not None:
                # its end mark, white space before it, and what starts every text
                needed = _size(tokenizer, example.completion) + 2 + len(encoder_of(tokenizer).start)
                room = max(max_length - needed, max_length // _PROMPT_PART)
                shortened, _ = fit_gap(tokenizer, example, room)
            parts.append(divide_segments(prompt_segments(tokenizer, shortened)))
        prompts = prompt_ids(tokenizer, [prompt for prompt, _ in parts])
        texts = [
            space + example.completion if example.completion else ""
            for example, (_, space) in zip(chunk, parts, strict=True)
        ]
        completions = continuation_ids(tokenizer, texts)
        for example, prompt, text, completion in zip(chunk, prompts, texts, completions, strict=True):
            ids, text_bytes = completion, len(text.encode())
            end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
            limit = max_length - min(len(prompt), max_length // _PROMPT_PART)
            if len(ids) + len(end) > limit:
                ids, end = ids[:limit], []
                text_bytes = len(tokenizer.decode(ids, clean_up_tokenization_spaces=False).encode())
            prompt = last_tokens(tokenizer, prompt, max_length - len(ids) - len(end))
            if ids or end:
                identity = (example.example_id, example.task)
                yield TokenisedExample(*identity, (*prompt, *ids, *end), len(prompt), len(ids), text_bytes)


def pack(examples: Sequence[TokenisedExample], max_length: int) -> list[PackedRow]:
    """Pack examples into rows of at most ``max_length`` tokens, best fit decreasing.

    Ties are broken by identity, so the same examples give the same rows in any input order.
    """
    rows: list[list[TokenisedExample]] = []
    rooms: list[tuple[int, int]] = []  # tokens left and number of each row, sorted
    by_length = sorted(examples, key=lambda tokenized: (-len(tokenized.ids), tokenized.task, tokenized.example_id))
    for example in by_length:
        index = bisect_left(rooms, (len(example.ids), -1))
        if index == len(rooms):
            room, number = max_length, len(rows)
            rows.append([])
        else:
            room, number = rooms.pop(index)
        rows[number].append(example)
        insort(rooms, (room - len(example.ids), number))
    return [packed_row(row) for row in rows]


def packed_row(examples: Sequence[TokenisedExample]) -> PackedRow:
    parts = [PackedRow(row.ids, tuple(range(len(row.ids))), tuple(row.targets())) for row in examples]
    return concatenate_rows(parts)


def concatenate_rows(rows: Sequence[PackedRow]) -> PackedRow:
    parts = ([getattr(row, name) for row in rows] for name in ("ids", "positions", "targets"))
    return PackedRow(*(tuple(chain.from_iterable(part)) for part in parts))


def token_count(examples: Sequence[TokenisedExample]) -> int:
    return sum(len(example.ids) for example in examples)


def within_budget(
    tokenizer: Any, examples: Sequence["Example"], max_length: int, tokens: int
) -> list[TokenisedExample]:
    selected: list[TokenisedExample] = []
    for example in tokenise(tokenizer, examples, max_length):
        tokens -= len(example.ids)
        if tokens < 0:
            break
        selected.append(example)
    return selected


def fit_gap(tokenizer: Any, gap: "Example", room: int, step: int = 1) -> tuple["Example", int]:
    """A gap with as much of the code around it as fits, and the number of removed tokens.

    Excess code is removed by lines, starting with those furthest from the gap; before the gap up to ``step`` tokens
    more (``first_line``).
    """
    from cortex_pipelines.prompts.examples import prompt_segments  # which needs polars

    size = partial(_size, tokenizer)
    before, after = gap.prompt, gap.suffix or ""
    between = prompt_segments(tokenizer, replace(gap, prompt="", suffix="."))
    room = max(room - size(between), 0)
    total_tokens = size(before) + size(after)
    if total_tokens <= room:
        return gap, 0
    lines, following = before.splitlines(keepends=True), after.splitlines(keepends=True)
    sizes = [len(ids) for ids in token_ids(tokenizer, lines)]
    before_tokens = sum(sizes)
    after_count, after_tokens = _fitting_lines(
        following, max((room - before_tokens) // step * step, room // _AFTER), size
    )
    dropped = first_line(lines, sizes, room - after_tokens, step)
    prompt, suffix = "".join(lines[dropped:]), "".join(following[:after_count])
    return replace(gap, prompt=prompt, suffix=suffix), total_tokens - sum(sizes[dropped:]) - after_tokens


def first_line(lines: Sequence[str], sizes: Sequence[int], room: int, step: int) -> int:
    """The first line of a text's end that fits into ``room`` tokens, or that falls up to ``step`` short of it.

    It is told by its text: the ends of a growing file, or of windows that slide over it, begin alike and are read once.
    """
    remaining = list(accumulate(reversed(sizes), initial=0))[::-1]
    first = next(number for number, tokens in enumerate(remaining) if tokens <= max(room, 0))
    if first == 0:
        return 0
    candidates = [number for number, tokens in enumerate(remaining) if room - step < tokens <= room] or [first]
    return min(candidates, key=lambda number: crc32("".join(lines[number : number + _TELLING]).encode()))


def _fitting_lines(lines: Iterable[str], room: int, size: Callable[[str], int]) -> tuple[int, int]:
    sizes: list[int] = []
    for line in lines:
        sizes.append(size(line))
        if sum(sizes) > room:
            sizes.pop()
            break
    return len(sizes), sum(sizes)


def _size(tokenizer: Any, prompt: str | Segments) -> int:
    (ids,) = token_ids(tokenizer, [prompt])
    return len(ids)


def prompt_ids(tokenizer: Any, prompts: Sequence[str | Segments]) -> list[list[int]]:
    """Token numbers of prompts, each at least one, behind what the base was trained to see before every text."""
    start = [*encoder_of(tokenizer).start]
    encoded = token_ids(tokenizer, prompts)  # a chat template may have written the start
    begun = [ids if ids[: len(start)] == start else start + ids for ids in encoded]
    return [ids or [_start_token(tokenizer)] for ids in begun]


def last_tokens(tokenizer: Any, prompt: list[int], most: int) -> list[int]:
    """The end of a prompt, still behind what starts every text."""
    start = encoder_of(tokenizer).start
    room = most - len(start)
    if len(prompt) <= most:
        return prompt
    return [*start, *prompt[-room:]] if room > 0 else prompt[-most:]


def _start_token(tokenizer: Any) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    problem = "the base model's tokenizer has neither a begin nor an end token, one of which an empty prompt needs"
    raise ValueError(f"{problem}; name another model in params.yaml under models.base")
