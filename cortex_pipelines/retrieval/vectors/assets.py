"""Asset of meaning: vectors of a project's units, of what they are in, and of its commits."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from cortex_pipelines.embeddings.encoder import HALF, SentenceEncoder, machine_precision, sentence_part
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, weights_folder
from cortex_pipelines.retrieval.settings import RetrievalSettings
from cortex_pipelines.retrieval.vectors.embed import Floats, embeddings, model_digest
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS
from cortex_pipelines.schemas.retrieval import EMBEDDINGS, SEARCHED_DOCUMENTS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(EMBEDDINGS,), determinism="machine")
def code_embeddings(
    search_documents: Path,
    repository_commits: Path,
    sentence_encoder: PinnedModel,
    retrieval: RetrievalSettings,
    project: str,
    root: Path,
    cache: RowCache,
) -> dict[str, pl.DataFrame]:
    """Vectors of a project's units, files, folders, repositories and commits."""
    precision = machine_precision(retrieval.precision, HALF)
    loaded: list[SentenceEncoder] = []

    def encode(texts: Sequence[str]) -> Floats:
        if not loaded:
            folder = weights_folder(sentence_encoder.source, dict(sentence_encoder.pin), root)
            loaded.append(SentenceEncoder(folder, retrieval.max_tokens, retrieval.batch, retrieval.threads, precision))
        return sentence_part(loaded[0].encode(texts))

    model = model_digest(dict(sentence_encoder.pin), retrieval.max_tokens)
    rows = embeddings(
        SEARCHED_DOCUMENTS.read(search_documents),
        REPOSITORY_COMMITS.read(repository_commits),
        encode,
        model,
        cache,
        f"{project}/{model}/{precision}",
    )
    return {EMBEDDINGS.name: rows}
