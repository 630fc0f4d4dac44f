"""``cortex serve`` and what answers without it: ``mcp``, ``lsp``, ``predict-batch``, ``suggest``."""

import atexit
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from cortex_pipelines.cli.console import EXISTING_FILE, FILE, Declared, in_project, say
from cortex_pipelines.versioning.root import find_root

if TYPE_CHECKING:
    from cortex_pipelines.serving.gateway import Gateway
    from cortex_pipelines.serving.settings import EngineName


_EDITORS = "docs/guides/serving.md#editors"


@click.command(epilog="Example: cortex serve --port 8008")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8008, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Serve what `cortex export` wrote there (peft or merged), without a project.",
)
@click.option("--trust", "key", type=EXISTING_FILE, help="With --from: public key of the exporter.")
@click.option("--model", help="Model for requests that name none; default: the only project with a champion.")
@click.option(
    "--engine",
    type=Declared("cortex_pipelines.serving.settings", "EngineName"),
    help="Else `serving.engine` of params.yaml.",
)
@click.option("--open", "everybody", is_flag=True, help="Listen on other addresses without any API key.")
@click.option("--tls-cert", type=EXISTING_FILE, help="Certificate in PEM, for HTTPS; with --tls-key.")
@click.option("--tls-key", type=EXISTING_FILE, help="Its private key in PEM.")
@click.option("--check", is_flag=True, help="Measure what this machine can do with the base, and end.")
@click.option("--log-requests", is_flag=True, help="Write one line of JSON per request, without its text.")
def serve(
    host: str,
    port: int,
    folder: Path | None,
    key: Path | None,
    model: str | None,
    engine: "EngineName | None",
    everybody: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    check: bool,
    log_requests: bool,
) -> None:
    """Serve promoted models to OpenAI clients, editors and agents, and on a web page."""
    if key is not None and folder is None:
        raise click.UsageError("--trust requires --from")
    if check and folder is not None:
        raise click.UsageError("--check measures the base of a project; leave --from out")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if folder is None:
        find_root()  # before seconds of imports
    require_packages()
    if check:
        _print_speeds()
        return
    from cortex_pipelines.api import load_parameters
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.projects.report import report_page
    from cortex_pipelines.serving.http.authentication import host_in_url
    from cortex_pipelines.serving.http.server import require_certificate, require_free, require_keys, run
    from cortex_pipelines.serving.open_gateway import open_exported, open_gateway, served_root
    from cortex_pipelines.serving.project_services import project_services
    from cortex_pipelines.serving.security.keys import KeyRing
    from cortex_pipelines.serving.services import NOTHING
    from cortex_pipelines.signing.keys import keys_folder

    keys = KeyRing(keys_folder(find_root() if folder is None else served_root()))
    if not everybody:
        require_keys(keys, host, load_parameters().serving.oidc is not None)
    require_free(host, port)
    tls = (tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None
    if tls is not None:
        require_certificate(*tls)
    if folder is not None:
        gateway, services = open_exported(folder, key, engine), NOTHING
    else:
        root = find_root()
        gateway = open_gateway(root, model, engine)
        services = replace(project_services(root), report=lambda: report_page(open_project(root)))
    from cortex_pipelines.serving.catalogue import answering

    catalogue = gateway.source.current
    gateway.load_ahead(catalogue.default)
    for name, served in sorted(catalogue.models.items()):
        if "@" not in name:
            say(f"{name}: {answering(served)}{'; the default' if name == catalogue.default else ''}")
    if catalogue.base_note:
        say(catalogue.base_note)
    say(f"page: http{'s' if tls else ''}://{host_in_url(host)}:{port}/ (Ctrl-C ends it); editors: {_EDITORS}")
    run(gateway, host, port, services, tls, log_requests)


def _print_speeds() -> None:
    """Print tokens a second by settings, and which settings answer within a second."""
    from cortex_pipelines.adapters.model.base_model import resolve_base
    from cortex_pipelines.catalog import open_project
    from cortex_pipelines.config import load_parameters
    from cortex_pipelines.models.machine import this_machine
    from cortex_pipelines.release.open_model import pinned_base
    from cortex_pipelines.serving.engines.engine import CACHE
    from cortex_pipelines.serving.latency import Measured, measure_settings

    root, machine = find_root(), this_machine()
    base, settings = resolve_base(pinned_base(open_project(root)), root), load_parameters(root).serving
    click.echo(f"{base.name} on {machine.describe()}; tokens per second:")
    click.echo(f"engine   precision threads   read  write  {settings.slots} at once   new prompt answered within 1 s")
    best: Measured | None = None
    for each in measure_settings(base, settings, machine, root / CACHE):
        if isinstance(each, str):
            click.echo(each)
            continue
        way, length = each.settings, each.prompt_within(1)
        click.echo(
            f"{way.engine:8} {way.precision:9} {way.threads:7} {each.read:6.0f} {each.write:6.1f} {each.together:10.1f}"
            f"   {f'{length} tokens, 32 written' if length else 'none'}"
        )
        best = max(best or each, each, key=lambda one: (one.prompt_within(1), one.write))
    if best is None or not best.prompt_within(1):
        say("no settings answer within 1 s: choose a smaller base (`cortex models recommend`)")
        return
    way = best.settings
    say(
        f"in params.yaml, serving: engine: {way.engine}, precision: {way.precision}, threads: {way.threads}; "
        "prompts read before need only what changed"
    )


def require_packages() -> None:
    """Say what is missing before anything is loaded; the extra is not installed everywhere."""
    from cortex_pipelines.projects.doctor import gateway_packages

    if not (packages := gateway_packages()).good:
        raise click.ClickException(f"the gateway cannot be started, {packages.detail}: {packages.remedy}")


@click.command(epilog="Example: cortex mcp --model shop@champion")
@click.option("--model", help="Model for requests that name none; default: the only project with a champion.")
@in_project
def mcp(model: str | None) -> None:
    """Serve tools to an agent by the Model Context Protocol, over standard input and output.

    `cortex serve` serves the same tools at /mcp.
    """
    require_packages()
    from cortex_pipelines.serving.agents import agents_server
    from cortex_pipelines.serving.open_gateway import open_gateway
    from cortex_pipelines.serving.project_services import project_services

    root = find_root()
    services = project_services(root)
    gateway: Future[Gateway] = Future()

    def open_in_background() -> None:
        try:
            gateway.set_result(open_gateway(root, model))
        except Exception as error:  # noqa: BLE001 - raised where the gateway is used
            gateway.set_exception(error)

    # clients wait seconds for the first answer, less than a base model may take to load
    Thread(target=open_in_background, daemon=True).start()
    # Python's way to end waits for the client's next line
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        agents_server(gateway.result, services).run("stdio")
    finally:
        if gateway.done() and gateway.exception() is None:
            gateway.result().close()
    if not gateway.done():
        # a thread inside a library's native code may abort the process at exit
        atexit.register(os._exit, 0)


@click.command("predict-batch", epilog="Example: cortex predict-batch asked.jsonl --out made.jsonl")
@click.argument("file", type=click.File("rb"))
@click.option("--out", type=FILE, help="Instead of printing.")
@click.option("--model", help="Model of lines that name none; else the only project with a champion.")
@in_project
def predict_batch(file: Iterable[bytes], out: Path | None, model: str | None) -> None:
    """Answer each line of FILE, a body of POST /predict, by a line; - reads standard input.

    A line that cannot be answered gets an `error`, and the command ends with status 1. OUT is
    written when all lines are answered; after an interruption it is what it was.
    """
    from cortex_pipelines.atomic import atomic_file, is_same_file

    name = getattr(file, "name", None)  # a number where it is standard input
    if out is not None and isinstance(name, str) and is_same_file(out, Path(name)):
        raise click.UsageError(f"{out} is the file of questions; name another one with --out")
    require_packages()
    from cortex_pipelines.serving.http.tasks import answer_lines
    from cortex_pipelines.serving.open_gateway import open_gateway

    gateway = open_gateway(find_root(), model)
    total = failed = 0
    with ExitStack() as ending:
        ending.callback(gateway.close)
        output: Any = None  # standard output
        if out is not None:
            target = ending.enter_context(atomic_file(out)).open("w", encoding="utf-8")
            output = ending.enter_context(target)
        for answer in answer_lines(gateway, file):
            total += 1
            failed += "error" in answer
            click.echo(json.dumps(answer), output)
    if failed:
        say(f"{failed} of {total} lines could not be answered; see their error")
        sys.exit(1)


_TASKS = (
    *("completion", "refactoring", "naming", "architecture", "documentation", "tests"),
    *("review", "translation"),
)


@click.command(epilog="Example: cortex suggest naming --file example.py --model shop --name tmp")
@click.argument("task", type=click.Choice(_TASKS))
@click.argument("text", required=False)
@click.option("--file", "file", type=EXISTING_FILE, help="Instead of TEXT.")
@click.option("--model", help="Project, project@champion or project@1.2.0; else the default.")
@click.option("--path", help="File that the text is from, where --file is not it.")
@click.option("--name", default="", help="Of a naming: the name to replace; else mark it <NAME>.")
@click.option("--kind", default="", help="Of a naming: what is named; else read from the code.")
@click.option("--request", default="", help="Of a refactoring: what to do; of architecture: the line that asks.")
@click.option("--smell", default="", help="Of a refactoring: what to improve.")
@click.option("--test-path", default="", help="Of tests: the file that the test goes into.")
@click.option("--target", default="", help="Of a translation: the language to translate to.")
@click.option("--language", default="", help="Of the text, where no path tells it.")
@click.option("--alternatives", default=2, show_default=True, type=click.IntRange(0, 4), help="Other answers to give.")
@in_project
def suggest(
    task: str,
    text: str | None,
    file: Path | None,
    model: str | None,
    path: str | None,
    alternatives: int,
    **context: str,
) -> None:
    """Answer one TASK with what was promoted, as JSON: what the gateway answers at /predict."""
    if (text is None) == (file is None):
        raise click.UsageError("give the text in quotes, or --file FILE")
    from cortex_pipelines.answers.answering import question_of
    from cortex_pipelines.answers.question import TaskContext, TaskError
    from cortex_pipelines.config import load_parameters

    content = file.read_text(encoding="utf-8-sig") if file is not None else str(text)
    context_path = path or (file.as_posix() if file is not None else "")
    task_context, root = TaskContext(path=context_path, **context), find_root()
    try:
        question_of(task, content, task_context, load_parameters(root))  # before a model is loaded
    except TaskError as error:
        raise click.ClickException(_with_options(error)) from error
    from cortex_pipelines.serving.open_gateway import open_gateway
    from cortex_pipelines.serving.task_answers import suggest as answered

    gateway = open_gateway(root, model)
    try:
        suggestion = answered(gateway, None, task, content, task_context, alternatives)
    except TaskError as error:
        raise click.ClickException(_with_options(error)) from error
    finally:
        gateway.close()
    click.echo(json.dumps(asdict(suggestion), ensure_ascii=False))


def _with_options(error: Exception) -> str:
    """A sentence about fields of a request, with the names of the command's options."""
    return re.sub(r"context\.(\w+)", lambda field: f"--{field[1].replace('_', '-')}", str(error))


@click.command(epilog="Example: cortex lsp --model shop (an editor runs it)")
@click.option("--stdio", is_flag=True, help="Speak over standard input and output; the default.")
@click.option(
    "--tcp", "port", type=click.IntRange(0, 65535), help="Instead: listen on this port of 127.0.0.1 for one editor."
)
@click.option("--gateway", help="Address of a running gateway, else http://127.0.0.1:8008; empty for no completions.")
@click.option("--model", help="Project, project@champion or project@1.2.0 that completes; else the gateway's default.")
def lsp(stdio: bool, port: int | None, gateway: str | None, model: str | None) -> None:
    """Serve findings, fixes and completions to an editor, by the Language Server Protocol.

    A gateway's key is the variable CORTEX_API_KEY, or the editor's setting `cortex.key`.
    """
    if stdio and port is not None:
        raise click.UsageError("--stdio and --tcp exclude each other")
    from cortex_pipelines.language_server.gateway import Options
    from cortex_pipelines.language_server.server import create_server, serve_stdio, serve_tcp

    options = {"gateway": gateway, "model": model, "key": os.environ.get("CORTEX_API_KEY")}
    defaults = Options().with_settings({name: value for name, value in options.items() if value is not None})
    # it warns of each request that was answered before its cancellation came
    logging.getLogger("pygls").setLevel(logging.ERROR)
    server = create_server(defaults)
    status = serve_stdio(server) if port is None else serve_tcp(server, port, say)
    # a check that is still at work must not outlive the editor
    os._exit(status)
