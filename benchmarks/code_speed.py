"""Speed of extraction, scanning and deduplication, each compared with an alternative.

Library functions only, each in a process of its own, on real code of this machine. A peer that is
not installed is named as missing.
"""

import importlib
import importlib.util
import re
from pathlib import Path

import polars as pl

from benchmarks.corpus import write_languages
from benchmarks.measured import Act, measure_function
from benchmarks.timing import Timing
from benchmarks.workspace import Workspace
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.datasets.dedup.minhash import near_duplicate_clusters
from cortex_pipelines.extraction.folder import extract_path
from cortex_pipelines.privacy.detect.scanning import scan_path
from cortex_pipelines.versioning.project import find_root

MEGABYTES = 4.0
"""Megabytes per language; for some the machine has less."""

_DOCUMENTS = 10_000
_TOKENS, _PERMUTATIONS, _BANDS, _THRESHOLD = 5, 256, 32, 0.7
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MB_A_SECOND = 5.0
_DOCUMENTS_A_SECOND = 7000.0


def measure(work: Workspace, repeats: int, megabytes: float = MEGABYTES) -> list[Timing]:
    """Extraction by language, the scan for private data, near-duplicates."""
    code = work.root / "speed"
    megabytes_by_language = write_languages(code, megabytes)
    return [
        *_extraction(work, code, megabytes_by_language, repeats),
        *_scan(work, code, repeats),
        *_near_duplicates(work, code, repeats),
    ]


def _extraction(work: Workspace, code: Path, megabytes_by_language: dict[str, float], repeats: int) -> list[Timing]:
    missing = [language for language, size in megabytes_by_language.items() if not size]
    total = sum(megabytes_by_language.values())
    note = f"{total:.1f} MB; not on this machine: {', '.join(missing) or 'none'}"
    folders = [(f"extract {name}", code / name, f"{size:.2f} MB") for name, size in megabytes_by_language.items()]
    return [
        _timing(work, title, "extract", (folder,), repeats, "MB", target=_MB_A_SECOND, note=folder_note)
        for title, folder, folder_note in (*folders, ("extract, all languages", code, note))
        if folder.exists()
    ]


def _scan(work: Workspace, code: Path, repeats: int) -> list[Timing]:
    ours = "scan for private data"
    target, note = _MB_A_SECOND, f"the same files{_missing('detect_secrets')}"
    return [
        _timing(work, ours, "scan", (code,), repeats, "MB", target=target, note=note),
        *_peer(work, "detect-secrets", "detect_secrets", (code,), 1, "MB", ours),
    ]


def _near_duplicates(work: Workspace, code: Path, repeats: int) -> list[Timing]:
    documents = code / "documents.parquet"
    units = extract_path(code, load_parameters(work.root).extraction).units
    bodies = units.filter(pl.col("kind").is_in(["function", "method"])).sort("unit_id")
    sample = bodies.head(_DOCUMENTS).select("code")
    sample.write_parquet(documents)
    ours = "near-duplicates"
    size = sample["code"].str.len_bytes().sum() / max(sample.height, 1)
    note = f"{sample.height} functions and methods of {size:.0f} bytes, candidates compared"
    note += _missing("rensa", "datasketch")
    target = _DOCUMENTS_A_SECOND
    arguments = (documents,)
    return [
        _timing(work, ours, "deduplicate", arguments, repeats, "documents", target=target, note=note),
        *_peer(work, "rensa", "rensa", arguments, repeats, "documents", ours),
        *_peer(work, "datasketch", "datasketch", arguments, repeats, "documents", ours),
    ]


def _timing(
    work: Workspace, title: str, function: str, arguments: tuple[object, ...], repeats: int,
    unit: str, target: float | None = None, peer: str | None = None, note: str = "",
) -> Timing:  # fmt: skip
    """Several runs of ``prepare_FUNCTION``; a target is an amount per processor second."""
    entry_point = f"{__name__}:prepare_{function}"
    spent_runs = [measure_function(work, entry_point, *arguments) for _ in range(repeats)]
    runs, amount = tuple(spent for spent, _ in spent_runs), spent_runs[0][1]
    seconds = amount / target if target else None
    return Timing(title, runs, seconds, peer, peer is not None, note, amount, unit)


def _peer(
    work: Workspace, title: str, module: str, arguments: tuple[object, ...], repeats: int,
    unit: str, peer: str,
) -> list[Timing]:  # fmt: skip
    """The same work by a peer, if it is installed."""
    if _missing(module):
        return []
    return [_timing(work, title, module, arguments, repeats, unit, peer=peer)]


def _missing(*modules: str) -> str:
    """Note on peers that are not installed; empty if all are."""
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"; not installed: {', '.join(absent)}" if absent else ""


def _parameters() -> Parameters:
    return load_parameters(find_root())


def prepare_extract(folder: str) -> Act:
    """The units of all files of a folder; megabytes."""
    settings, size = _parameters().extraction, _megabytes(Path(folder))
    # queries are compiled once a process: one file of each ending does that
    for path in {path.suffix: path for path in _code_files(Path(folder))}.values():
        extract_path(path, settings)

    def act() -> float:
        extract_path(Path(folder), settings)
        return size

    return act


def prepare_scan(folder: str) -> Act:
    """Private data in all files of a folder; megabytes."""
    settings, size = _parameters().privacy, _megabytes(Path(folder))

    def act() -> float:
        for _ in scan_path(Path(folder), settings):
            pass
        return size

    return act


def prepare_detect_secrets(folder: str) -> Act:
    """The same by detect-secrets, with all its detectors; megabytes."""
    collections = importlib.import_module("detect_secrets.core.secrets_collection")
    settings = importlib.import_module("detect_secrets.settings")
    size = _megabytes(Path(folder))

    def act() -> float:
        secrets = collections.SecretsCollection()
        with settings.default_settings():
            for path in _code_files(Path(folder)):
                secrets.scan_file(str(path))
        return size

    return act


def prepare_deduplicate(documents: str) -> Act:
    """Clusters of near-duplicates, candidates compared exactly; documents."""
    texts, settings = _texts(documents), _parameters().datasets

    def act() -> float:
        near_duplicate_clusters(texts, settings)
        return len(texts)

    return act


def prepare_rensa(documents: str) -> Act:
    """Candidates by rensa's fastest method, not compared; documents."""
    rensa = importlib.import_module("rensa")
    texts = _texts(documents)

    def act() -> float:
        sets = [_shingles(text) for text in texts]
        digests = rensa.RMinHash.digest_matrix_from_token_sets(sets, _PERMUTATIONS, 20)
        index = rensa.RMinHashLSH(_THRESHOLD, _PERMUTATIONS, _BANDS)
        index.insert_matrix_and_query_duplicate_flags(digests)
        return len(texts)

    return act


def prepare_datasketch(documents: str) -> Act:
    """Candidates by datasketch, not compared; documents."""
    datasketch = importlib.import_module("datasketch")
    texts = _texts(documents)

    def act() -> float:
        index = datasketch.MinHashLSH(_THRESHOLD, _PERMUTATIONS)
        for number, text in enumerate(texts):
            digest = datasketch.MinHash(_PERMUTATIONS)
            digest.update_batch([shingle.encode() for shingle in _shingles(text)])
            index.query(digest)
            index.insert(number, digest)
        return len(texts)

    return act


def _texts(documents: str) -> list[str]:
    return pl.read_parquet(documents)["code"].to_list()


def _shingles(text: str) -> list[str]:
    """Input of the peers: token shingles like ours."""
    words = _TOKEN.findall(text)
    runs = range(max(len(words) - _TOKENS + 1, 1))
    return [" ".join(words[start : start + _TOKENS]) for start in runs]


def _code_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in _code_files(folder)) / 1e6
