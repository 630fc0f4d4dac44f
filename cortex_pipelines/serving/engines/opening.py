"""Open an engine by name."""

from importlib.util import find_spec
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.serving.engines.engine import Engine, EngineError
from cortex_pipelines.serving.settings import ServingSettings

CACHE = Path(".cortex", "cache", "llama")
"""Folder of files converted for llama.cpp, relative to a project's root."""


def open_engine(base: BaseModel, settings: ServingSettings, cache: Path) -> Engine:
    """Open the engine that the settings name and load the base.

    Args:
        base: The base model.
        settings: Name and limits of the engine.
        cache: Folder for converted files.

    Raises:
        EngineError: the engine is not installed, or cannot serve this base.
    """
    if settings.engine == "torch":
        from cortex_pipelines.serving.engines.torch_engine import TorchEngine

        return TorchEngine(base, settings)
    if settings.engine in ("openai", "vllm"):
        from cortex_pipelines.serving.engines.upstream_engine import UpstreamEngine

        return UpstreamEngine(base, settings)
    if find_spec("xllamacpp") is None:
        raise EngineError(
            "the engine llama needs llama.cpp, which is not installed: "
            "pip install 'cortex-pipelines[llama]', or serve with `--engine torch`"
        )
    from cortex_pipelines.serving.engines.llama_engine import LlamaEngine

    return LlamaEngine(base, settings, cache)
