"""Commands on models: export, promotion, releases, reproduction."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cortex_pipelines.cli.console import (
    AS_JSON,
    AS_JSON_LIST,
    EXISTING_FILE,
    PATH,
    Declared,
    current_project,
    in_project,
    print_json,
    print_table,
    say,
)
from cortex_pipelines.versioning.root import find_root


@click.command(epilog="Example: cortex export code_adapter-shop --format ollama --out shop-ollama")
@click.argument("model")
@click.option(
    "--format",
    "form",
    type=click.Choice(["peft", "merged", "gguf", "ollama"]),
    default="peft",
    show_default=True,
    help="A folder for peft, one merged model, a GGUF adapter, or what `ollama create` takes.",
)
@click.option("--out", required=True, type=PATH, help="Empty folder.")
@click.option("--task", help="Task, for a model with one adapter per task.")
@click.option("--base", type=EXISTING_FILE, help="GGUF file of the base, for ollama; defaults to the pinned base.")
@click.option("--sign", type=click.Choice(["openssf"]), help="Also sign in this format, to verify without cortex.")
@click.option("--drop-layers", type=click.IntRange(0), default=0, help="Layers that a merged model loses.")
@click.option("--drop-heads", type=click.IntRange(0), default=0, help="Groups of heads that each layer loses.")
@in_project
def export(
    model: str,
    form: str,
    out: Path,
    task: str | None,
    base: Path | None,
    sign: str | None,
    drop_layers: int,
    drop_heads: int,
) -> None:
    """Export MODEL, MODEL@ALIAS or MODEL/VERSION in a format that other programs load.

    The files are verified first; the export is loaded again, compared with them, and gets a signed
    manifest, which `cortex verify` checks. Layers and heads that a merged model loses are those that
    matter least on the project's code; the bits per byte before and after are said.
    """
    from typing import cast

    from cortex_pipelines.release.export import Format
    from cortex_pipelines.release.export import export as write
    from cortex_pipelines.signing.keys import keys_folder, public_key
    from cortex_pipelines.signing.signatures import OPENSSF_PUBLIC_KEY, OPENSSF_SIGNATURE

    if base is not None and form != "ollama":
        raise click.UsageError("--base requires --format ollama")
    if (drop_layers or drop_heads) and form != "merged":
        raise click.UsageError("--drop-layers and --drop-heads require --format merged")
    project = current_project()
    exported = write(project, model, cast(Format, form), out, task, base, sign is not None, (drop_layers, drop_heads))
    say(*exported.checks.passed, *exported.checks.skipped)
    mark, _ = public_key(project.root)
    say(f"{exported.model} {exported.version} is in {out}, signed by {mark}")
    if sign is not None:
        key = keys_folder(project.root) / OPENSSF_PUBLIC_KEY
        line = f"model_signing verify key {out} --signature {out / OPENSSF_SIGNATURE}"
        say(f"anybody who has {key} can check it: {line} --public_key KEY")


@click.command(epilog="Example: cortex verify shop-ollama")
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trust", "key", type=EXISTING_FILE, help="Public key to trust from now on, such as .cortex/keys/signing.pub."
)
def verify(folder: Path, key: Path | None) -> None:
    """Verify that an exported FOLDER is unchanged and signed by a trusted key, which needs no project.

    FOLDER may also be a certificate of `cortex forget`, with its signature beside it.
    """
    from cortex_pipelines.serving.open_gateway import served_root
    from cortex_pipelines.signing.keys import trust
    from cortex_pipelines.signing.signatures import verify as check
    from cortex_pipelines.signing.signatures import verify_file

    root = served_root()
    if key is not None:
        say(f"{trust(root, key)} is trusted now")
    if folder.is_file():
        certificate = json.loads(verify_file(root, folder))
        outstanding = len(certificate["outstanding"])
        say(f"deletion {certificate['id']}: as it was signed, {outstanding} things outstanding")
        return
    folder = folder.resolve()
    exported = check(root, folder, folder)
    say(f"{exported.model} {exported.version}: {len(exported.files)} files match the export")


@click.command(epilog='Example: cortex promote task_router --strategy canary --why "agreed"')
@click.argument("model", required=False)
@click.option("--why", "reason", help="Reason, for the ledger.  [default: by hand]")
@click.option("--despite-gate", is_flag=True, help="Serve MODEL although its gate held it back; needs --why.")
@click.option("--strategy", type=Declared("cortex_pipelines.release.settings", "Strategy"), help="Deployment strategy.")
@click.option("--target", type=Declared("cortex_pipelines.release.settings", "Target"), help="Deployment target.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="The canary's share of requests."
)
@in_project
def promote(
    model: str | None,
    reason: str | None,
    despite_gate: bool,
    strategy: str | None,
    target: str | None,
    share: float | None,
) -> None:
    """Promote the challenger of MODEL to champion; without MODEL, all that passed their gates.

    The deployment is planned in releases.lock; options that are not given are taken from `deployment` in params.yaml.
    With --strategy canary or shadow the champion stays until the canary is promoted too, by this command or by the
    gateway. Repeating the command changes nothing. With --despite-gate the ledger has the decision and its reason,
    as do `cortex releases` and every answer; guards and gates stay as they are.
    """
    from cortex_pipelines.release import promote
    from cortex_pipelines.serving.latency import too_slow

    if despite_gate and not (model and reason and reason.strip()):
        raise click.UsageError("--despite-gate takes one MODEL and --why, which every answer will quote")
    reason = reason or "by hand"

    if share is not None and strategy not in (None, "canary"):
        raise click.UsageError("--share requires --strategy canary")
    project = current_project()
    overrides = {"strategy": strategy, "target": target, "share": share}
    deployment = promote.deployment(project, {k: v for k, v in overrides.items() if v is not None})
    if model is None:
        entries = promote.promote_passed(project, reason, too_slow, deployment, say)
    else:
        released_model = promote.find_model(project, model)
        entry = promote.promote(project, released_model, reason, deployment, say, too_slow, despite_gate)
        entries = (entry,) if entry else ()
    say("\n".join(entry.describe() for entry in entries) or "nothing to promote")


@click.command(epilog='Example: cortex rollback task_router --why "slow in production"')
@click.argument("model")
@click.option("--why", "reason", default="by hand", help="Reason, for the ledger.")
@click.option("--to", help="Version that was champion once, such as 1.0.0, or `baseline`.")
@in_project
def rollback(model: str, reason: str, to: str | None) -> None:
    """End the canary of MODEL, or restore the previous champion.

    Repeating the command changes nothing; --to goes further back.
    """
    from cortex_pipelines.release import promote

    project = current_project()
    entry = promote.rollback(project, promote.find_model(project, model), reason, to)
    unchanged_note = "rolled back already; `--to VERSION` goes further" if to is None else "champion already"
    say(entry.describe() if entry else f"{model}: {unchanged_note}")


@click.command(epilog="Example: cortex latency code_adapter-shop@challenger --engine llama")
@click.argument("model")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    type=click.Choice(["auto", "llama", "openvino", "torch"]),
    default=("openvino", "llama", "torch"),
    help="Only this one; may be repeated.  [default: openvino, llama and torch]",
)
@AS_JSON_LIST
@in_project
def latency(model: str, engines: tuple[Any, ...], as_json: bool) -> None:
    """Measure how long people wait for MODEL, MODEL@ALIAS or MODEL/VERSION, by engine.

    Median and 95th percentile (in brackets) until the first token and until 40, for a prompt of 512 tokens that was
    read before. MLflow, `cortex report` and exported model cards show it from then on.
    """
    from cortex_pipelines.release.open_model import find_released
    from cortex_pipelines.release.promotion import model_roles
    from cortex_pipelines.serving.latency import measure_model
    from cortex_pipelines.tracking.latencies import COLUMNS, Latency

    project = current_project()
    released, version = find_released(project, model)
    version = version or model_roles(project.root, released)["challenger"]
    if released.partition is None or version is None:
        raise click.ClickException(f"{model}: only an adapter that was made has a latency; see `cortex releases`")
    measured = list(measure_model(project, released, version, engines))
    latencies = [each for each in measured if isinstance(each, Latency)]
    if as_json:
        print_json([asdict(each) for each in latencies])
    else:
        print_table(COLUMNS, [each.row() for each in latencies])
    say(*(each for each in measured if isinstance(each, str)))
    if not latencies:
        sys.exit(1)


_SHOWN = 12


@click.command(epilog="Example: cortex releases")
@AS_JSON_LIST
@in_project
def releases(as_json: bool) -> None:
    """List every model: gate verdict, champion, canary and archive."""
    from cortex_pipelines.release.ledger import project_models
    from cortex_pipelines.release.promotion import model_roles
    from cortex_pipelines.tracking.registry import registered

    project = current_project()
    rows = [model_roles(project.root, model) | registered(project, model.name) for model in project_models(project)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        lines = [f"{row['model']}: {row['verdict'] or 'no verdict yet'}"]
        numbers = row["numbers"]
        for role in ("challenger", "canary", "champion"):
            version = row[role]
            if version:
                number = row[f"{role}_number"]
                registry_note = f"version {number} in the registry" if number else "not in the registry"
                words = (role, numbers.get(version, ""), version)
                lines.append(f"  {' '.join(word for word in words if word)}, {registry_note}")
        if row["challenger"] and row["challenger"] not in numbers:
            lines.append(f"  promoted it would be {row['next_number']} ({row['next_reason']})")
        if row["plan"]:
            plan = row["plan"]
            share = f", {plan['share']:.0%} of the requests" if "share" in plan else ""
            lines.append(f"  plan {plan['strategy']} on {plan['target']}{share}")
        if row["despite_gate"]:
            lines.append(f"  {row['despite_gate']}")
        if row["archived"]:
            archived = (f"{numbers.get(v, '-')} ({v[:_SHOWN]})" for v in row["archived"])
            lines.append(f"  archived {', '.join(archived)}")
        if row["reason"]:
            lines.append(f"  {row['reason']}")
        click.echo("\n".join(lines))


@click.command(epilog="Example: cortex reproduce task_router@champion")
@click.argument("model")
@click.option("--into", type=PATH, help="Empty folder to rebuild in.")
@click.option("--data-only", is_flag=True, help="Only the data sets; train nothing.")
@AS_JSON
@in_project
def reproduce(model: str, into: Path | None, data_only: bool, as_json: bool) -> None:
    """Rebuild MODEL, MODEL@ALIAS or MODEL/VERSION from scratch and compare.

    Checks out code, parameters and pins of the registered version into a new folder beside this
    project. Fails if data sets differ in any byte, or models on the processor type that they were
    trained on; on other types models may differ, and the difference is reported.
    """
    from cortex_pipelines.projects.reproduce import reproduce as make_again

    reproduction = make_again(current_project(), model, into, data_only, say)
    if as_json:
        print_json(reproduction.to_json())
    else:
        for c in reproduction.comparisons:
            result = "same bytes" if c.identical else f"DIFFERS: {c.registered} was, {c.found} is"
            click.echo(f"{c.stage}: {result}{f'; {c.detail}' if c.detail else ''}")
        identical_count = sum(comparison.identical for comparison in reproduction.comparisons)
        total = len(reproduction.comparisons)
        click.echo(f"{reproduction.model}: {identical_count} of {total} versions byte for byte")
    if not reproduction.is_reproduced:
        sys.exit(1)


@click.command("tune-machine", epilog="Example: cortex tune-machine --dry-run")
@click.option("--dry-run", is_flag=True, help="Measure and show; write nothing.")
@in_project
def tune_machine(dry_run: bool) -> None:
    """Measure the best precision and row length of this machine; write them to params.yaml."""
    from cortex_pipelines.adapters.autotune import fastest_setting, measure_throughput
    from cortex_pipelines.catalog import SOURCES
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.ingestion.pretrained_models import PinnedModel
    from cortex_pipelines.projects.parameter_file import read_values, write_values
    from cortex_pipelines.versioning.project import read_yaml

    root = find_root()
    parameters = load_parameters(root)
    settings = parameters.adapters
    if settings.precision != "auto" and not dry_run:
        say(
            f"adapters.precision is {settings.precision} already; nothing to do. Set it to auto "
            "to measure again, or use --dry-run"
        )
        return
    pin = (read_yaml(root / SOURCES).get("models") or {}).get("base") or {}
    speeds = measure_throughput(PinnedModel(parameters.models.base, pin), settings, root)
    fastest = fastest_setting(speeds)
    print_table(
        ("precision", "row length", "tokens/s", ""),
        [
            (s.precision, str(s.max_length), f"{s.tokens_per_second:.0f}", "best" if s == fastest else "")
            for s in speeds
        ],
    )
    if not dry_run:
        values = read_values(root)
        values.setdefault("adapters", {}).update(precision=fastest.precision, max_length=fastest.max_length)
        write_values(root, values)
        say(f"params.yaml: adapters.precision {fastest.precision}, max_length {fastest.max_length}")
