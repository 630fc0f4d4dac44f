"""An index in a folder: written to a scratch folder, published atomically, opened by memory map.

``index.json`` names the folder beside it that holds the parts. A new index is written to a folder
of its own; only then is ``index.json`` replaced, so that a kill leaves the old index or the new
one. An index is a derived cache: it may be deleted, and is made again.
"""

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.atomic import folder_lock, publish, scratch_folder, write_whole
from cortex_pipelines.damage import encodable
from cortex_pipelines.progress import track
from cortex_pipelines.retrieval.bm25f import Postings, TermStatistics, Vocabulary
from cortex_pipelines.retrieval.collection import (
    Collection,
    CollectionStatistics,
    Vectors,
    build_collection,
    count_terms,
)
from cortex_pipelines.retrieval.documents import FileText, ReadingLimits, read_file
from cortex_pipelines.retrieval.listing import head_commit, list_files
from cortex_pipelines.retrieval.vectors import Encode, HierarchicalVectors, hierarchical_vectors

FORMAT = 8  # raised when an index of before cannot be read any more, or would give other results

MANIFEST = "index.json"  # file of an index that names its parts; written last
_DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, pl.exceptions.PolarsError)
"""What reading parts that are torn or gone raises."""
_TAG = "CACHEDIR.TAG"
_TAGGED = "Signature: 8a477f597d28d172789f06886806bc55\n"


class SearchIndexError(RuntimeError):
    """A missing or unusable index; the message says what to do."""


@dataclass(frozen=True)
class IndexManifest:
    """The absolute folder that was indexed (empty for outputs of a project), and what made the vectors."""

    root: str
    encoder: str | None


@dataclass(frozen=True)
class SearchIndex:
    manifest: IndexManifest
    terms: Vocabulary
    collection: Collection
    statistics: CollectionStatistics
    levels: HierarchicalVectors | None = None


def read_folder(folder: Path, limits: ReadingLimits, out: Path | None = None) -> list[FileText]:
    """The text files of a folder, read; those below ``out`` are left out.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    below = out is not None and out.resolve().is_relative_to(folder.resolve())
    out_prefix = f"{out.resolve().relative_to(folder.resolve()).as_posix()}/" if out and below else ""
    files = [file for file in list_files(folder) if not (out_prefix and file.path.startswith(out_prefix))]
    head = head_commit(folder.resolve())
    return [read_file(folder, file, head, limits) for file in track(files, "Reading files")]


def build_index(
    files: Iterable[FileText],
    manifest: IndexManifest,
    encode: Encode | None,
    previous: SearchIndex | None = None,
    vectors: Vectors | None = None,
    levels: HierarchicalVectors | None = None,
) -> SearchIndex:
    """An index of files that were read, in memory.

    Args:
        previous: An older index; its vectors are taken where encoder and text are the same.
        vectors: Vectors of its texts, where they are made already.
        levels: Vectors of its files and folders; None to make them of those of the texts.

    Raises:
        SearchIndexError: no file holds a text that can be searched.
    """
    vocabulary = Vocabulary()
    frequencies = count_terms(files, vocabulary)
    if frequencies.documents.is_empty():
        raise SearchIndexError(
            f"{manifest.root or 'the project'}: no file with text that can be searched is in it; "
            "give a folder with source files or documentation"
        )
    if vectors is None and previous is not None and previous.manifest.encoder == manifest.encoder:
        vectors = previous.collection.text_vectors
    collection, statistics = build_collection(frequencies, None, encode, vectors)
    if levels is None and collection.vectors is not None:
        paths = collection.files["path"].gather(collection.documents["file"]).to_list()
        levels = hierarchical_vectors(paths, collection.vectors)
    return SearchIndex(manifest, vocabulary, collection, statistics, levels)


def refuse_other(out: Path) -> None:
    """Refuse a folder that holds anything but an index."""
    if out.exists() and not (out.is_dir() and ((out / MANIFEST).exists() or _is_torn(out))):
        raise SearchIndexError(f"{out} holds something else than an index; give an empty or new folder")


def save(index: SearchIndex, out: Path) -> None:
    """Write an index to a folder; what was there of an older index goes away.

    Raises:
        SearchIndexError: the folder holds something else.
    """
    refuse_other(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _TAG).write_text(_TAGGED, encoding="utf-8")
    name = f"parts-{uuid.uuid4().hex[:12]}"
    with scratch_folder(out, ".parts") as scratch:
        parts_folder = scratch / name
        parts_folder.mkdir()
        manifest = {"format": FORMAT, "parts": name, **_write_parts(index, parts_folder)}
        with folder_lock(out):  # else two that end together delete the parts of each other
            publish(parts_folder, out / name)
            write_whole(out / MANIFEST, json.dumps(manifest, indent=1))
            for old in out.glob("parts-*"):
                if old.name != name:
                    shutil.rmtree(old, ignore_errors=True)


def _is_torn(out: Path) -> bool:
    return all(entry.name == _TAG or entry.name.startswith((".parts", "parts-")) for entry in out.iterdir())


def _write_parts(index: SearchIndex, folder: Path) -> dict[str, Any]:
    collection = index.collection
    collection.documents.write_parquet(folder / "documents.parquet")
    collection.files.write_parquet(folder / "files.parquet")
    collection.unit_postings.save(folder, "units")
    collection.file_postings.save(folder, "files")
    np.save(folder / "units_idf.npy", index.statistics.of_units.idf)
    np.save(folder / "files_idf.npy", index.statistics.of_files.idf)
    if collection.vectors is not None:
        np.save(folder / "vectors.npy", collection.vectors)
    if index.levels is not None:
        index.levels.nodes.write_parquet(folder / "levels.parquet")
        np.save(folder / "levels.npy", index.levels.vectors)
    terms = "\n".join(index.terms.numbers)
    (folder / "terms.txt").write_text(encodable(terms), encoding="utf-8")
    return {
        **vars(index.manifest),
        "documents": collection.documents.height,
        "statistics": {
            name: {"unseen": stats.unseen, "lengths": stats.lengths} for name, stats in vars(index.statistics).items()
        },
    }


def open_index(folder: Path) -> SearchIndex:
    """Open an index.

    Raises:
        SearchIndexError: it is not there, half-written, or of another version.
    """
    manifest = _read_manifest(folder)
    while True:
        try:
            return _read_parts(manifest, folder / manifest["parts"])
        except _DAMAGE as error:
            newer = _read_manifest(folder)
            if newer.get("parts") == manifest.get("parts"):
                words = f"{type(error).__name__}: {str(error)[:200]}"
                hint = f"`cortex index PATH --out {folder}` makes it again"
                raise SearchIndexError(f"the index in {folder} is damaged ({words}); {hint}") from error
            manifest = newer  # it was made again meanwhile, so that the parts of before are gone


def _read_manifest(folder: Path) -> dict[str, Any]:
    manifest_path = folder / MANIFEST
    hint = f"`cortex index PATH --out {folder}` makes it"
    if not manifest_path.is_file():
        interrupted = folder.is_dir() and any(folder.iterdir()) and _is_torn(folder)
        problem = "an index that was never finished" if interrupted else "no index"
        raise SearchIndexError(f"{problem} is in {folder}; {hint}")
    try:
        manifest: dict[str, Any] = json.loads(manifest_path.read_text(encoding="utf-8"))
        version = manifest["format"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise SearchIndexError(f"{manifest_path} is damaged ({error}); {hint} again") from error
    if version != FORMAT:
        raise SearchIndexError(f"the index in {folder} has format {version}, this version reads {FORMAT}; {hint} again")
    return manifest


def _read_parts(manifest: dict[str, Any], folder: Path) -> SearchIndex:
    documents = pl.read_parquet(folder / "documents.parquet")
    files = pl.read_parquet(folder / "files.parquet")
    statistics = {
        name: TermStatistics(
            np.load(folder / f"{part}_idf.npy"),
            manifest["statistics"][name]["unseen"],
            tuple(manifest["statistics"][name]["lengths"]),
        )
        for name, part in (("of_units", "units"), ("of_files", "files"))
    }
    vectors = levels = None
    if manifest["encoder"] is not None:
        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        levels = HierarchicalVectors(
            pl.read_parquet(folder / "levels.parquet"), np.load(folder / "levels.npy", allow_pickle=False)
        )
    collection = Collection(
        documents,
        files,
        Postings.load(folder, "units", documents.height),
        Postings.load(folder, "files", files.height),
        vectors,
    )
    terms = Vocabulary((folder / "terms.txt").read_text(encoding="utf-8").split("\n"))
    if documents.height != manifest["documents"] or len(terms) != len(statistics["of_units"].idf):
        raise ValueError("its parts do not belong together")
    manifest_fields = {key: manifest[key] for key in IndexManifest.__dataclass_fields__}
    return SearchIndex(IndexManifest(**manifest_fields), terms, collection, CollectionStatistics(**statistics), levels)
