"""Private values to plant, and a search for them in everything that a project keeps.

The values are drawn by a generator and put together here, so that none stands in this repository.
"""

import gzip
import io
import json
import random
import sqlite3
import string
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl

_DRAW = random.Random(20)
_LETTERS = string.ascii_letters + string.digits


def random_text(count: int, letters: str = _LETTERS) -> str:
    return "".join(_DRAW.choice(letters) for _ in range(count))


class Planted:
    """One set of private values, so that a leak tells where it came from."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.aws = "AKIA" + random_text(16, "ABCDEFGHJKLMNPQRSTUVWXYZ234567")
        self.github = "ghp_" + random_text(36)
        self.password = "Tr0ub" + random_text(9) + "7q"
        self.mail = f"{marker}.{random_text(5, string.ascii_lowercase)}@kestrel-{random_text(4, 'abcd')}.io"
        self.address = f"93.{_DRAW.randrange(100, 250)}.{_DRAW.randrange(100, 250)}.77"
        self.phone = f"+49 151 {_DRAW.randrange(23456780, 89999999)}"
        self.material = [random_text(64) for _ in range(3)]

    @property
    def key(self) -> str:
        kind = "RSA PRIVATE KEY"
        return "\n".join([f"-----BEGIN {kind}-----", *self.material, f"-----END {kind}-----"])

    @property
    def prose(self) -> str:
        return (
            f"rotate {self.aws} and {self.github}, then mail {self.mail} from {self.address} or "
            f'call {self.phone}; password = "{self.password}"\n{self.key}\n'
        )

    @property
    def names(self) -> list[str]:
        """Names of files, folders and branches that hold one of the values each."""
        return [
            f"old_{self.aws}_copy.py",
            f"my_{self.github}.txt",
            f"{self.mail}.md",
            f"host-{self.address}.log",
            f"password={self.password}.ini",
            f"{self.phone.replace(' ', '-')}.vcf",
        ]

    @property
    def values(self) -> list[str]:
        phones = [self.phone, self.phone.replace(" ", "-"), self.phone.replace(" ", "")[1:]]
        return [
            *(self.aws, self.github, self.password, self.mail, self.mail.partition("@")[0]),
            *(self.address, *phones, *self.material),
        ]


def leaks(folder: Path, planted: list[Planted], left_out: tuple[Path, ...] = ()) -> list[str]:
    """Where a planted value stands below a folder: in names, bytes, and what bytes unpack to."""
    values = {v.encode(): f"{item.marker}: {v}" for item in planted for v in item.values}
    holders = []
    for path in sorted(folder.rglob("*")):
        if any(path.is_relative_to(other) for other in left_out):
            continue
        name = path.relative_to(folder).as_posix()
        texts = [name.encode()]
        if path.is_file():
            texts += unpacked(path)
        holders += [f"{name} holds {label}" for v, label in values.items() if any(v in text for text in texts)]
    return holders


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they say once they are decompressed or decoded."""
    data = path.read_bytes()
    yield data
    yield from _from_json(data)
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:1] == b"\x78":
        with suppress(zlib.error):
            yield zlib.decompress(data)
    elif data[:4] == b"PAR1":
        yield _frame_text(pl.read_parquet(io.BytesIO(data)))
    elif data[:16] == b"SQLite format 3\0":
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode("utf-8", "surrogatepass")
    start = data.find(b"ARROW1\0\0")
    while start >= 0:  # the row cache, also where it packs several tables into a file
        following = data.find(b"ARROW1\0\0", start + 1)
        # a file ends in the same word; a hash may stand behind it
        end = data.rfind(b"ARROW1", start, None if following < 0 else following) + len(b"ARROW1")
        yield _frame_text(pl.read_ipc(io.BytesIO(data[start:end])))
        start = following


def _from_json(data: bytes) -> Iterator[bytes]:
    """Texts in JSON without their escapes."""
    try:
        yield json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8", "surrogatepass")
    except ValueError:
        return


def _frame_text(frame: pl.DataFrame) -> bytes:
    return frame.write_ndjson().encode("utf-8", "surrogatepass")
