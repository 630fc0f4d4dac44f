"""The gateway under load, beside llama.cpp's own server and FastAPI around transformers.

All servers run at once and are asked in turn, so that other work on the machine meets all alike;
whoever asks runs on the same cores. Adapters have random weights and the router learnt generated
titles: costs are measured, and no quality. ``python -m benchmarks serving --repeats 3``.
"""

import http.client
import itertools
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.routing import encoder_folder, made_up_tasks, router_words, write_log
from benchmarks.served import ADAPTERS, base_here, write_adapters
from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import CHECKOUT, Workspace
from cortex_pipelines.config import load_parameters
from cortex_pipelines.routing.router_from_logs import train_on_logs

TOKENS, PROMPTS, LEARNT = 40, 3, 1_540
ALONE, SECONDS, SOAK = 200, 5.0, 20.0
_PATIENCE = 180.0
_KEPT = 2.0
"""Seconds after which a server may have closed a connection."""
_PEERS = ("llama.cpp", "plain")
_NO_CACHE = {"x-cortex-cache": "no"}
_WHOLE = {"x-cortex-deadline": "none"}
"""The peers write all tokens too."""


class Server:
    """A server that is asked.

    Args:
        name: As ``benchmarks.served`` knows it.
        process: Its process.
        port: Where it listens.
    """

    def __init__(self, name: str, process: psutil.Process, port: int) -> None:
        self.name, self._process, self._port = name, process, port

    def client(self) -> "Client":
        """A connection that is kept."""
        return Client(self._port)

    def spent(self, act: Callable[[], Any]) -> Spent:
        """Time of a call, and processor time of the server meanwhile."""
        wall, cpu = time.perf_counter(), self._cpu()
        act()
        return Spent(time.perf_counter() - wall, self._cpu() - cpu, self.resident)

    @property
    def resident(self) -> float:
        """Its memory without what it shares, in MiB."""
        return float(sum(process.memory_full_info().uss for process in self._family()) / 2**20)

    def _cpu(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._family())

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


class Client:
    """One connection of a client."""

    def __init__(self, port: int) -> None:
        self.written = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        self._asked = time.monotonic()

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            BenchmarkError: it was refused.
        """
        if time.monotonic() - self._asked > _KEPT:
            self._connection.close()  # the next request opens it again
        all_headers = {"content-type": "application/json", **_WHOLE, **headers}
        self._connection.request("POST", path, json.dumps(body), all_headers)
        answer = self._connection.getresponse()
        content = answer.read()
        self._asked = time.monotonic()
        if answer.status != 200:
            raise BenchmarkError(f"{path} was answered with {answer.status}: {content[:300]!r}")
        response: dict[str, Any] = json.loads(content)
        return response

    def complete(self, prompt: str, tokens: int, model: str = ADAPTERS[0]) -> None:
        """Have a prompt continued; ``written`` counts the tokens."""
        body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0}
        answer = self.post("/v1/completions", body, **_NO_CACHE)
        self.written = int(answer["usage"]["completion_tokens"])


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Everything, in one run."""
    folder = work.root / "served"
    write_adapters(folder / "adapters", base_here())
    words = router_words(encoder_folder(CHECKOUT))
    texts, labels = made_up_tasks(LEARNT, words)
    write_log(folder / "logs", texts, labels)
    # few passes: how good it is takes no part in what a decision costs
    quick = {"routing": load_parameters(work.root).routing}
    params = load_parameters(CHECKOUT).model_copy(update=quick)
    train_on_logs(folder / "logs", folder / "router", params)
    with ExitStack() as running:
        # llama first: it converts what llama.cpp reads
        servers = {
            name: running.enter_context(_served(work, name, folder)) for name in ("llama", "openvino", "torch", *_PEERS)
        }
        timings = _writing(servers, repeats)
        timings += _in_turn(servers["torch"], repeats)
        timings += _routing(servers["torch"], words, repeats)
        timings.append(_cached(servers["torch"]))
        timings.append(_soaked(servers["torch"], words))
    return timings


@contextmanager
def _served(work: Workspace, name: str, folder: Path) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = (sys.executable, "-m", "benchmarks.served", name, str(folder), str(port))
    log = folder / f"{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(words, cwd=CHECKOUT, env=work.environment, stdout=errors, stderr=errors)
    try:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                Client(port).complete("def f():\n", 2)
                break
            except (OSError, http.client.HTTPException, BenchmarkError) as error:
                if process.poll() is not None or time.monotonic() > end:
                    log_tail = log.read_text(errors="replace")[-2000:]
                    raise BenchmarkError(f"{name} does not answer: {log_tail}") from error
                time.sleep(0.5)
        yield Server(name, psutil.Process(process.pid), port)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _prompts() -> list[str]:
    """Beginnings of this project's own modules."""
    paths = sorted((CHECKOUT / "cortex_pipelines" / "serving").glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [text[:1000] for text in texts if len(text) > 2000][:PROMPTS]


def _writing(servers: dict[str, Server], repeats: int) -> list[Timing]:
    """Tokens a second and the first token of a prompt that begins as the one before."""
    totals: dict[str, list[Spent]] = {name: [] for name in servers}
    first: dict[str, list[Spent]] = {name: [] for name in servers}
    token_counts: dict[str, list[int]] = {name: [] for name in servers}
    clients = {name: server.client() for name, server in servers.items()}
    for _, prompt, (name, server) in itertools.product(range(repeats), _prompts(), servers.items()):
        client = clients[name]
        client.complete(prompt, 1)  # read before
        longer = f"{prompt}\n# a"
        first[name].append(server.spent(partial(client.complete, longer, 1)))
        client.complete(prompt, 1)
        totals[name].append(server.spent(partial(client.complete, prompt, TOKENS)))
        token_counts[name].append(client.written)
    timings = []
    for kind, measured, peer_title in (
        ("completion", totals, "llama.cpp"),
        ("first token, prompt read before", first, "llama.cpp"),
    ):
        for name in servers:
            runs = tuple(measured[name])
            tokens = statistics.median(token_counts[name]) if kind == "completion" else 1
            pace = f"{tokens / statistics.median(run.wall for run in runs):.1f} tokens/s"
            timings.append(
                Timing(
                    f"{_title(name)}: {kind}",
                    runs,
                    0.1 if kind != "completion" and name not in _PEERS else None,
                    None if name == peer_title else f"{_title(peer_title)}: {kind}",
                    name in _PEERS,
                    pace if kind == "completion" else "",
                )
            )
    return timings


def _title(name: str) -> str:
    return {"plain": "FastAPI + generate", "llama.cpp": "llama.cpp's server"}.get(name, f"gateway, {name}")


def _in_turn(server: Server, repeats: int) -> list[Timing]:
    """Ten adapters that are in memory, each request another one, beside one of them."""
    client = server.client()
    for name in ADAPTERS:
        client.complete("def f():\n", 1, name)
    ways = {"one adapter": ADAPTERS[:1], "ten adapters in turn": ADAPTERS}
    runs: dict[str, list[Spent]] = {way: [] for way in ways}
    for turn in range(repeats):
        for way, names in ways.items():

            def ask(names: Sequence[str] = names, turn: int = turn) -> None:
                for number in range(len(ADAPTERS)):
                    prompt = f"def total_{turn}_{number}(cart):\n"
                    client.complete(prompt, 8, names[number % len(names)])

            runs[way].append(server.spent(ask))
    first_way, *_ = ways
    return [
        Timing(f"torch: {way}", tuple(spent), beside=None if way == first_way else f"torch: {first_way}")
        for way, spent in runs.items()
    ]


def _routing(server: Server, words: list[str], repeats: int) -> list[Timing]:
    tasks = iter(made_up_tasks(200_000, words, seed=2)[0])
    client = server.client()
    for _ in range(20):
        client.post("/route", {"task": next(tasks)})
    alone = []
    for _ in range(ALONE):
        task = next(tasks)
        alone.append(server.spent(partial(client.post, "/route", {"task": task})))
        time.sleep(0.02)  # low load
    slowest = sorted(run.wall for run in alone)[int(ALONE * 0.99)]
    lock = threading.Lock()

    def task_batch(count: int) -> list[str]:
        with lock:
            return list(itertools.islice(tasks, count))

    task_texts = task_batch(64)
    client.post("/route", {"tasks": task_texts})
    single_task = "/route: one task"
    timings = [Timing(single_task, tuple(alone), 0.005, note=f"p99 {slowest * 1000:.1f} ms; at most 20")]
    for title, target, connections, body in (
        ("/route: batches of 32", 1_000, 2, lambda: {"tasks": task_batch(32)}),
        ("/route: single requests", 300, 16, lambda: {"task": task_batch(1)[0]}),
        ("/route: tasks seen before", 1_000, 4, lambda: {"tasks": random.sample(task_texts, 32)}),
    ):
        each = 1 if "single" in title else 32
        loads = [_load(server, "/route", body, connections) for _ in range(repeats)]
        paces = [each * completed / spent.wall for spent, completed in loads]
        spent = tuple(_for_each(run, each * completed) for run, completed in loads)
        pace = f"{statistics.median(paces):,.0f} a second; target {target:,}"
        timings.append(Timing(title, spent, 1 / target, note=pace))
    return timings


def _load(server: Server, path: str, body: Callable[[], dict[str, Any]], connections: int) -> tuple[Spent, int]:
    """What some seconds of as many requests as can be cost, and how many were answered."""
    counts = [0] * connections

    def ask(index: int) -> None:
        client = server.client()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            client.post(path, body())
            counts[index] += 1

    def all_of_them() -> None:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return server.spent(all_of_them), sum(counts)


def _for_each(spent: Spent, count: int) -> Spent:
    return Spent(spent.wall / count, spent.cpu / count, spent.peak)


def _cached(server: Server) -> Timing:
    body = {"prompt": "def remembered():\n", "max_tokens": 20, "temperature": 0}
    server.client().post("/v1/completions", body)
    spent, completed = _load(server, "/v1/completions", lambda: body, 4)
    run = _for_each(spent, completed)
    note = f"{completed / spent.wall:,.0f} a second; target 2,000"
    return Timing("completion of 20 tokens, given before", (run,), 1 / 2_000, note=note)


def _soaked(server: Server, words: list[str]) -> Timing:
    """Completions and tasks at a pace that leaves a fifth free; no answer may fail."""
    tasks = iter(made_up_tasks(100_000, words, seed=3)[0])
    client = server.client()
    before, answered, latencies = server.resident, 0, []

    def soak() -> None:
        nonlocal answered
        end = time.monotonic() + SOAK
        while time.monotonic() < end:
            began = time.monotonic()
            client.complete(f"# {answered}\ndef f(", 4, ADAPTERS[answered % len(ADAPTERS)])
            client.post("/route", {"tasks": list(itertools.islice(tasks, 8))})
            answered += 2
            latencies.append(time.monotonic() - began)
            time.sleep(latencies[-1] / 4)  # four fifths of the time it works

    spent = server.spent(soak)
    grown = server.resident - before
    note = f"{answered} answers, none failed; memory {grown:+.0f} MiB"
    return Timing(f"soak of {SOAK:.0f} s at 80 %", (spent,), note=note)
