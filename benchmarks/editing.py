"""Share of an editor's prompts that need not be read again: ``python -m benchmarks.editing FOLDER``.

In each of a folder's longest Python files the bodies of three functions are typed again, three requests a line, as an
editor sends them to ``/infill``. Of each request but the first in a body, the tokens that the engine took from its
cache are counted; of the first ones, at a place where the cursor has jumped to, too.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

from benchmarks.served import base_here
from benchmarks.workspace import CHECKOUT
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.config import load_parameters
from cortex_pipelines.serving.engines.engine import CACHE, Engine, Event, Job, Sampling, open_engine
from cortex_pipelines.serving.requests import PromptTarget, infill

FILES, FUNCTIONS, LINES, ANSWER, SEED = 3, 3, 6, 16, 0


def main(folder: str, engine_name: str = "auto", base: str = "", window: str = "2048") -> None:
    """``base``: a folder; by default that of this checkout."""
    settings = load_parameters(CHECKOUT).serving.model_copy(update={"engine": engine_name, "window": int(window)})
    model = BaseModel(Path(base).resolve(), "base", "0" * 64) if base else base_here()
    engine, counts = open_engine(model, settings, CHECKOUT / CACHE), {"typed": [0, 0], "jumped": [0, 0]}
    target = PromptTarget(engine.tokenizer, engine.window - ANSWER)
    paths = sorted(Path(folder).rglob("*.py"), key=lambda path: -path.stat().st_size)[:FILES]
    try:
        for path in paths:
            for jumped, before, after in _session(path.read_text(encoding="utf-8")):
                prompt = engine.prompt(infill(before, after, (), "python")(target).segments, ANSWER)
                count = counts["jumped" if jumped else "typed"]
                count[0] += _cached(engine, Job(None, prompt, Sampling(1)))
                count[1] += len(prompt.ids)
            words = ", ".join(
                f"{name} {cached / tokens:.1%} of {tokens:,}" for name, (cached, tokens) in counts.items()
            )
            print(f"{path.name}, and before: {words} tokens", flush=True)
    finally:
        engine.close()


def _session(text: str) -> Iterator[tuple[bool, str, str]]:
    """Whether the cursor has jumped, and the code before and after it."""
    lines = text.splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines[: -2 - LINES]) if line.lstrip().startswith("def ")]
    for at in random.Random(SEED).sample(starts, min(FUNCTIONS, len(starts))):
        body, after = lines[at + 1 : at + 1 + LINES], "".join(lines[at + 1 + LINES :])
        for number, line in enumerate(body):
            for part in range(3):
                before = "".join(lines[: at + 1 + number]) + line[: part * (len(line) - 1) // 2]
                yield number == part == 0, before, after


def _cached(engine: Engine, job: Job) -> int:
    events, cached = SimpleQueue[Event | None](), 0
    engine.submit(job, events.put)
    while (event := events.get()) is not None:
        if isinstance(event, BaseException):
            raise event
        cached = max(cached, event.cached)
    return cached


if __name__ == "__main__":
    main(*sys.argv[1:])
