"""Resume an interrupted training from its last checkpoint.

The order of rows and the dropout masks follow from the seed, so no generator state is saved.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.adapters.training.history import LossPoint, Progress, Validation
from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.packages import installed

if TYPE_CHECKING:
    import torch

    from cortex_pipelines.adapters.data.corpus import Corpus
    from cortex_pipelines.adapters.settings import AdapterSettings

_LOG = logging.getLogger("cortex_pipelines")


@dataclass(frozen=True)
class Checkpoints:
    """A cache of one training's state: a resumed training ends with the same bytes as an uninterrupted one."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.key}.pt"

    @property
    def trainer(self) -> Path:
        """Folder for the state of an external trainer."""
        return self.folder / self.key

    def save(self, state: Mapping[str, Any]) -> None:
        import torch

        with atomic_file(self.path, durable=False) as scratch:
            torch.save(dict(state), scratch)

    def load(self) -> dict[str, Any] | None:
        import torch

        if not self.path.exists():
            return None
        try:
            # tensors and plain values only: a pickle of anything else is refused, not run
            state: dict[str, Any] = torch.load(self.path, weights_only=True, map_location="cpu")  # nosec B614
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes torch raise
            _LOG.warning("the state in %s cannot be read (%s); training starts over", self.path, error)
            return None
        return state

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.trainer, ignore_errors=True)


def training_key(base_digest: str, corpus: "Corpus", settings: "AdapterSettings") -> str:
    """Hash of what a training depends on: base, ordered examples, settings, the code of this room and packages."""
    digest = hashlib.sha256()
    for examples in (corpus.train, corpus.validation, corpus.general):
        for example in examples:
            digest.update(repr(example).encode())
        digest.update(b"\n")
    made_from = {
        "base": base_digest,
        "examples": digest.hexdigest(),
        "settings": settings.model_dump_json(),
        "code": content_md5(Path(__file__).parents[1]),
        "packages": installed(),
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def trainable(model: Any) -> dict[str, "torch.Tensor"]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def load_weights(model: Any, weights: Mapping[str, "torch.Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in trainable(model).items():
            weight.copy_(weights[name])


def progress_state(progress: Progress) -> dict[str, Any]:
    return {
        "steps": [asdict(step) for step in progress.steps],
        "validations": [asdict(validation) for validation in progress.validations],
        "best": progress.weights,
        "best_step": progress.best_step,
    }


def restore_progress(progress: Progress, saved: Mapping[str, Any]) -> None:
    progress.steps = [LossPoint(**step) for step in saved["steps"]]
    progress.validations = [Validation(**validation) for validation in saved["validations"]]
    progress.weights = dict(saved["best"])
    progress.best_step = saved["best_step"]
    _LOG.info("Resuming an interrupted training after step %d", len(progress.steps))
