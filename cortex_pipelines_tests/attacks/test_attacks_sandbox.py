"""Programs that try to get out of the sandbox, or to use up the machine from inside of it.

With ``-m attack`` each has a run of its own. What any user can do also runs outside, where it succeeds.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortex_pipelines.execution.sandbox import sandbox, seccomp
from cortex_pipelines.execution.sandbox.sandbox import CommandResult
from cortex_pipelines.execution.sandbox.settings import ResourceLimits
from cortex_pipelines_tests.parameters import load_cases


@dataclass(frozen=True)
class Attack:
    name: str
    body: str
    control: bool = False
    alone: bool = False
    stops: tuple[str, ...] = ()


_TABLES = load_cases(__file__)


def program(attacks: list[Attack]) -> str:
    """A script that tries the attacks, each in a process of its own if there are several, and prints the results."""
    numbers = json.dumps(seccomp.numbers())
    functions = [
        f"def attack_{n}():\n{textwrap.indent(attack.body.strip(), '    ')}\n" for n, attack in enumerate(attacks)
    ]
    table = ", ".join(f"{attack.name!r}: attack_{n}" for n, attack in enumerate(attacks))
    by_itself = f"print(json.dumps([{attacks[0].name!r}, answer(attack_0)]), flush=True)\n"
    run = by_itself if len(attacks) == 1 else f"ATTACKS = {{{table}}}\n{_TABLES['_RUNNER']}"
    return "\n".join([_TABLES["_PRELUDE"] % numbers, *functions, run])


def _tabled(key: str) -> list[Attack]:
    return [Attack(**(row | {"stops": tuple(row.get("stops", ()))})) for row in _TABLES[key]]


_NEW = {"user": 0x10000000, "mount": 0x20000, "process": 0x20000000, "network": 0x40000000}
_NEW |= {"IPC": 0x8000000, "host name": 0x4000000, "group": 0x2000000}
_CLONED = "child = call('clone', {} | 17, 0, 0, 0, 0)\nif child == 0: os._exit(0)\nreturn 1"
NAMESPACES = [
    *(Attack(f"a new {name} namespace", f"return reached('unshare', {flag})") for name, flag in _NEW.items()),
    *(Attack(f"a process in a new {name} namespace", _CLONED.format(flag)) for name, flag in _NEW.items()),
    *_tabled("NAMESPACES"),
]
_FOR_ALL = {"io_setup", "name_to_handle_at", "vmsplice", "shmctl", "semop", "msgsnd", "mq_unlink"}
CALLS = [
    *(
        Attack(f"the call {name}", f"return reached({name!r}, -1, -1, -1, -1, -1, -1)", name in _FOR_ALL)
        for name in _TABLES["_PROBED"]
    ),
    *_tabled("CALLS"),
]
ATTACKS = [
    attack
    for key in _TABLES
    if not key.startswith("_")
    for attack in {"NAMESPACES": NAMESPACES, "CALLS": CALLS}.get(key) or _tabled(key)
]
_SECONDS = {"wall_seconds": 120, "cpu_seconds": 30}
_SPACE = {"memory_bytes": 1 << 29, "address_bytes": 1 << 29, "folder_bytes": 1 << 24, "output_bytes": 100_000}
LIMITS = ResourceLimits(**_SECONDS, **_SPACE, processes=24)
_WORD = "cortex-attack-secret"
_TOGETHER = [one for one in ATTACKS if not one.alone]
_ALONE = ["much in many processes", "shared memory that is kept by a page", "many files"]
needs_sandbox = pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))
_CONTROLS = [one for one in _TOGETHER if one.control]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in, and things outside of it that are worth having."""
    folder, outside = tmp_path / "box", tmp_path / "outside"
    for directory in (folder, outside):
        directory.mkdir()
    secret = outside / "secret"
    secret.write_text(_WORD)
    (folder / "link").symlink_to(secret)
    monkeypatch.setenv("CORTEX_ATTACK", _WORD)
    with ExitStack() as stack:
        listeners = {
            "port": stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            "abstract": stack.enter_context(socket.socket(socket.AF_UNIX)),
            "socket": stack.enter_context(socket.socket(socket.AF_UNIX)),
        }
        name = f"cortex-attack-{os.getpid()}"
        path = Path(os.path.relpath(outside / "socket"))
        listeners["abstract"].bind(f"\0{name}")
        listeners["socket"].bind(str(path))
        for kind in ("abstract", "socket"):
            listeners[kind].listen()
        process = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
        )
        descriptor = os.open(secret, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        os.set_inheritable(descriptor, True)
        targets = {"secret": str(secret), "folder": str(outside), "pid": process.pid, "word": _WORD, "key": _key()}
        targets |= {"port": listeners["port"].getsockname()[1], "abstract": name, "socket": str(path.resolve())}
        (folder / "targets.json").write_text(json.dumps(targets))
        yield folder
        process.kill()


def _key() -> str:
    """A key in this session's keyring, as desktop programs and ssh keep them there."""
    add, own_session = seccomp.numbers()["add_key"], -3
    ctypes.CDLL(None).syscall(add, b"user", _WORD.encode(), b"value", 5, own_session)
    return _WORD


def inside(box: Path, attacks: list[Attack], **changes: float) -> CommandResult:
    (box / "attack.py").write_text(program(attacks))
    return sandbox.run([sys.executable, "attack.py"], box, ResourceLimits(**{**vars(LIMITS), **changes}))


def answers(output: bytes) -> dict[str, str]:
    return dict(json.loads(line) for line in output.splitlines() if line.startswith(b"["))


def was_contained(attack: Attack, result: CommandResult) -> bool:
    if result.stopped:
        return result.stopped in attack.stops
    if result.status >= 128:
        return "killed" in attack.stops
    return answers(result.stdout).get(attack.name) == "HELD"


@needs_sandbox
def test_attacks_that_can_share_a_sandbox_are_held(box: Path) -> None:
    result = inside(box, _TOGETHER)
    reported = answers(result.stdout)
    assert {name: words for name, words in reported.items() if words != "HELD"} == {}
    assert set(reported) == {attack.name for attack in _TOGETHER}, (result.stopped, result.stderr[-500:])


@needs_sandbox
@pytest.mark.parametrize("name", _ALONE)
def test_what_a_limit_ends(box: Path, name: str) -> None:
    attack = next(candidate for candidate in ATTACKS if candidate.name == name)
    result = inside(box, [attack])
    assert was_contained(attack, result), (result.status, result.stopped, result.stdout, result.stderr[-500:])


def test_outside_of_the_sandbox_they_succeed(box: Path) -> None:
    """The control: what counts as contained above is not contained by chance."""
    (box / "attack.py").write_text(program(_CONTROLS))
    result = subprocess.run([sys.executable, "attack.py"], cwd=box, capture_output=True, check=False, timeout=120)
    reported = answers(result.stdout)
    assert {attack.name for attack in _CONTROLS} == set(reported), result.stderr
    assert {name: words for name, words in reported.items() if not words.startswith("BROKEN")} == {}


@needs_sandbox
@pytest.mark.attack
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
def test_an_attack_in_a_sandbox_of_its_own_is_held(box: Path, attack: Attack) -> None:
    result = inside(box, [attack], **{"wall_seconds": 6, "cpu_seconds": 3} if "time" in attack.stops else {})
    assert was_contained(attack, result), (result.status, result.stopped, result.stdout, result.stderr[-500:])
