"""Token shingles of texts, and the similarity of shingle sets.

Vectorised over many texts: the bytes of a batch are in one array, and a token's hash is the difference of two prefix
sums, so nothing is done token by token.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Shingles: TypeAlias = NDArray[np.uint64]
Borders: TypeAlias = NDArray[np.int64]

_BATCH_BYTES = 1 << 17  # its arrays of 8 bytes a byte stay in the processor's cache
_SIGN, _WORD = 1, 2


@dataclass(frozen=True)
class ShingleSets:
    hashes: Shingles  # hashes of all texts; those of one text are sorted and distinct
    borders: Borders  # start of each text's hashes, and the end of the last; one more than texts

    def __len__(self) -> int:
        return len(self.borders) - 1

    def __getitem__(self, index: int) -> Shingles:
        if not 0 <= index < len(self):  # how a loop over the sets ends
            raise IndexError(index)
        return self.hashes[self.borders[index] : self.borders[index + 1]]

    @property
    def sizes(self) -> Borders:
        return np.diff(self.borders)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> "ShingleSets":
        rows = np.asarray(indices, dtype=np.int64)
        sizes = self.sizes[rows]
        offsets = np.repeat(self.borders[rows] - starts_of(sizes)[:-1], sizes)
        return ShingleSets(self.hashes[offsets + np.arange(len(offsets))], starts_of(sizes))

    @classmethod
    def concat(cls, parts: Sequence["ShingleSets"]) -> "ShingleSets":
        sizes = [np.empty(0, dtype=np.int64), *(part.sizes for part in parts)]
        hashes = [np.empty(0, dtype=np.uint64), *(part.hashes for part in parts)]
        return cls(np.concatenate(hashes), starts_of(np.concatenate(sizes)))

    def batches(self, max_shingles: int) -> Iterator["ShingleSets"]:
        start = 0
        while start < len(self):
            limit = int(self.borders[start]) + max_shingles
            stop = max(int(np.searchsorted(self.borders, limit, side="right")) - 1, start + 1)
            low, high = self.borders[start], self.borders[stop]
            yield ShingleSets(self.hashes[low:high], self.borders[start : stop + 1] - low)
            start = stop


def shingles(text: str, size: int) -> Shingles:
    """Sorted distinct hashes of all runs of ``size`` tokens in a text.

    A token is a word (letters, digits, ``_`` and all that is not ASCII) or a single sign, so layout does not count. A
    text with fewer tokens than ``size`` has one shingle, of all of them.
    """
    return all_shingles([text], size)[0]


def all_shingles(texts: Sequence[str], size: int) -> ShingleSets:
    """Shingles of each text; about 40 MB/s."""
    hashes, sizes = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.int64)]
    for batch in _batches(texts):
        of_batch, sizes_of_batch = _batch_shingles(batch, size)
        hashes.append(of_batch)
        sizes.append(sizes_of_batch)
    return ShingleSets(np.concatenate(hashes), starts_of(np.concatenate(sizes)))


def jaccard(shingles_a: Shingles, shingles_b: Shingles) -> float:
    """Exact Jaccard similarity of two sets of shingles."""
    common = shared_count(shingles_a, shingles_b)
    return common / (len(shingles_a) + len(shingles_b) - common)


def shared_count(shingles_a: Shingles, shingles_b: Shingles) -> int:
    merged = np.concatenate((shingles_a, shingles_b))
    merged.sort()
    return int(np.count_nonzero(merged[1:] == merged[:-1]))


@lru_cache
def odd_numbers(count: int, purpose: str) -> NDArray[np.uint64]:
    """Pseudo-random odd 64-bit numbers, identical on every machine."""
    digests = [hashlib.blake2b(f"{purpose}:{n}".encode(), digest_size=8) for n in range(count)]
    return np.array([int.from_bytes(d.digest(), "big") | 1 for d in digests], dtype=np.uint64)


def mix_bits(values: Shingles) -> Shingles:
    """Mix the bits by MurmurHash3's finaliser: a sum of products has weak low bits."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


def _batches(texts: Sequence[str]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    batch_bytes = 0
    for text in texts:
        # Surrogates cannot occur in valid text, but must not stop a run either.
        data = text.encode("utf-8", "surrogatepass")
        if batch and batch_bytes + len(data) > _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(data)
        batch_bytes += len(data) + 1
    if batch:
        yield batch


def _batch_shingles(batch: list[bytes], size: int) -> tuple[Shingles, Borders]:
    tokens, token_counts = _tokens(batch)
    counts = np.maximum(token_counts, size)
    if len(tokens) < counts.sum():  # texts with fewer tokens are padded
        padded = np.zeros(int(counts.sum()), dtype=np.uint64)
        shift = np.repeat(starts_of(counts)[:-1] - starts_of(token_counts)[:-1], token_counts)
        padded[np.arange(len(tokens)) + shift] = tokens
        tokens = padded
    ends = np.cumsum(counts)
    runs = np.zeros(len(tokens) - size + 1, dtype=np.uint64)
    for offset, factor in enumerate(odd_numbers(size, "shingle")):
        runs += tokens[offset : offset + len(runs)] * factor  # wraps modulo 2**64, as meant
    inside = np.ones(len(tokens), dtype=bool)
    for before in range(1, size):  # a run that begins here would reach into the next text
        inside[ends - before] = False
    hashes = mix_bits(runs[inside[: len(runs)]])
    starts = starts_of(counts - size + 1)
    for low, high in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        hashes[low:high].sort()
    first = np.ones(len(hashes), dtype=bool)
    np.not_equal(hashes[1:], hashes[:-1], out=first[1:])
    first[starts[:-1]] = True
    return hashes[first], np.add.reduceat(first, starts[:-1], dtype=np.int64)


def _tokens(batch: list[bytes]) -> tuple[Shingles, Borders]:
    data = np.frombuffer(b"\n".join([*batch, b""]), dtype=np.uint8)
    kinds = _classes()[data]
    word = kinds == _WORD
    starts = kinds != 0
    ends = starts.copy()
    starts[1:] &= ~(word[1:] & word[:-1])
    ends[:-1] &= ~(word[1:] & word[:-1])
    first, last = np.flatnonzero(starts), np.flatnonzero(ends)
    powers, inverses = _powers(1 << len(data).bit_length())
    values = odd_numbers(256, "byte")[data]
    values *= powers[: len(data)]
    sums = np.empty(len(data) + 1, dtype=np.uint64)
    sums[0] = 0
    np.cumsum(values, out=sums[1:])
    hashes = (sums[last + 1] - sums[first]) * inverses[first]
    borders = starts_of(np.array([len(text) + 1 for text in batch], dtype=np.int64))
    return hashes, np.diff(np.searchsorted(first, borders))


def starts_of(counts: Borders) -> Borders:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


@lru_cache
def _classes() -> NDArray[np.uint8]:
    """Class of each byte: 0 for white space and control characters, a symbol, or a word part."""
    classes = np.full(256, _SIGN, dtype=np.uint8)
    classes[: ord(" ") + 1] = 0
    classes[0x7F] = 0
    classes[0x80:] = _WORD
    words = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
    classes[np.frombuffer(words, dtype=np.uint8)] = _WORD
    return classes


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[Shingles, Shingles]:
    base = int(odd_numbers(1, "power")[0])
    tables = []
    for factor in (base, pow(base, -1, 1 << 64)):
        powers = np.full(count, factor, dtype=np.uint64)
        powers[0] = 1
        tables.append(np.cumprod(powers, dtype=np.uint64))
    return tables[0], tables[1]
