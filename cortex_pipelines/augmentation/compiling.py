"""Check which mutants compile, with the compilers on this machine."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.augmentation.python_code import compiled
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.execution.tests.mutant_killing import Answer, MutantUnderTest

_SECONDS = 20.0
_ERROR = re.compile(r"error\b\W*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Toolchain:
    """Compiler of a language and its options.

    Args:
        program: Name of the program on the PATH.
        options: Arguments before the file.
        parses_only: Whether it checks only the syntax, so that a ``yes`` proves little.
    """

    program: str
    options: tuple[str, ...]
    parses_only: bool = False


_OUT = "/tmp/out"  # nosec B108 - in the sandbox, where nobody else is
_RUST = ("--edition=2021", "--crate-type=lib", "--emit=metadata", "-o", _OUT)
TOOLCHAINS = {
    "javascript": Toolchain("node", ("--check",), True),
    "typescript": Toolchain("tsc", ("--noEmit", "--noResolve", "--skipLibCheck")),
    "java": Toolchain("javac", ("-proc:none", "-nowarn", "-d", "/tmp")),  # nosec B108
    "go": Toolchain("gofmt", ("-e", "-l"), True),
    "rust": Toolchain("rustc", _RUST),
}

# Runs in the sandbox: every command of the plan, its status and words as a line of JSON.
_DRIVER = """
import json, re, subprocess, sys
for name, command in json.load(open("plan.json")):
    try:
        done = subprocess.run(command, capture_output=True, timeout=20)
        words = (done.stdout + done.stderr).decode(errors="replace")
        print(json.dumps([name, done.returncode, words[:4000]]), flush=True)
    except subprocess.TimeoutExpired:
        print(json.dumps([name, None, "takes longer than 20 s"]), flush=True)
"""


def python_compiles(subject: MutantUnderTest, original: str) -> Answer:
    """Whether Python compiles the mutated file, without running it."""
    if compiled(original.encode()) is None:
        return "unknown", "the file does not compile as it is"
    if compiled(subject.buggy_file.encode()) is None:
        return "no", "Python refuses the file with the error"
    return "yes", ""


def compiles(
    subjects: list[MutantUnderTest], texts: dict[str, str], language: str, settings: AugmentationSettings
) -> dict[str, Answer]:
    """Whether each mutant compiles.

    A single file may not compile without its imports. So the messages of original and mutant are
    compared: only a new message counts against the mutant.

    Args:
        subjects: Mutants of one language.
        texts: Text files of their source, by path.
        language: The language.
        settings: Limits.
    """
    if language == "python":
        return {subject.mutant_id: python_compiles(subject, texts[subject.path]) for subject in subjects}
    program = _program(language)
    unavailable = f"no {TOOLCHAINS[language].program} on this machine" if program is None else None
    unavailable = unavailable or sandbox.unavailable()
    if unavailable is not None or program is None:
        return {subject.mutant_id: ("unknown", str(unavailable)) for subject in subjects}
    messages = _run_compiler(subjects, texts, language, program, settings)
    return {subject.mutant_id: _compare_messages(subject, messages, TOOLCHAINS[language]) for subject in subjects}


def toolchain_version(language: str) -> str:
    """Name and version of a language's compiler on this machine; empty if missing."""
    if language == "python":
        return f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    program = _program(language)
    return "" if program is None else _version(program)


@cache
def _program(language: str) -> str | None:
    """Path of the compiler itself, not of a rustup proxy or a link."""
    executable = shutil.which(TOOLCHAINS[language].program)
    if executable is None:
        return None
    if language == "rust":
        root = _first_line([executable, "--print", "sysroot"])
        return str(Path(root) / "bin" / "rustc") if root else None
    return str(Path(executable).resolve())


@cache
def _version(program: str) -> str:
    name = PurePosixPath(program).name
    if name == "gofmt":
        return _first_line([str(Path(program).with_name("go")), "version"]) or name
    version_line = _first_line([program, "--version"])
    return version_line if version_line.startswith(name) else f"{name} {version_line}".strip()


def _first_line(command: list[str]) -> str:
    try:
        completed = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = completed.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if lines else ""


CompilerAnswers = dict[str, tuple[int | None, str]]


def _run_compiler(
    subjects: list[MutantUnderTest], texts: dict[str, str], language: str, program: str, settings: AugmentationSettings
) -> CompilerAnswers:
    """Exit status and output of the compiler, by mutant and, for the originals, by path."""
    files = {subject.mutant_id: (subject.path, subject.buggy_file) for subject in subjects}
    files |= {subject.path: (subject.path, texts[subject.path]) for subject in subjects}
    with temporary_folder("compile") as folder:
        plan = []
        for number, (key, (path, text)) in enumerate(sorted(files.items())):
            target = folder / str(number) / _file_name(path, text, language)
            target.parent.mkdir()
            target.write_bytes(text.encode())
            file = str(target.relative_to(folder))
            plan.append((key, [program, *TOOLCHAINS[language].options, file]))
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        (folder / "driver.py").write_text(_DRIVER, encoding="utf-8")
        try:
            command = [sys.executable, "driver.py"]
            limits = settings.sandbox_limits(settings.verification_seconds, compilers=True)
            result = sandbox.run(command, folder, limits, {}, _toolchain_folders(program))
        except sandbox.SandboxError:
            return {}
    return dict(_lines(result.stdout))


def _file_name(path: str, text: str, language: str) -> str:
    """File name for the compiler; a JavaScript module is recognised by its extension."""
    name = PurePosixPath(path).name
    is_module = any(line.startswith(("import ", "export ")) for line in text.splitlines())
    return f"{PurePosixPath(name).stem}.mjs" if language == "javascript" and is_module else name


def _lines(output: bytes) -> list[tuple[str, tuple[int | None, str]]]:
    answers = []
    for line in output.decode(errors="replace").splitlines():
        try:
            key, status, words = json.loads(line)
        except ValueError:
            continue  # the last line may be cut
        answers.append((str(key), (status, str(words))))
    return answers


def _toolchain_folders(program: str) -> list[Path]:
    settings = sorted(Path("/etc").glob("java*"))
    return [Path(program).parent.parent, *settings]


def _compare_messages(subject: MutantUnderTest, answers: CompilerAnswers, toolchain: Toolchain) -> Answer:
    if subject.mutant_id not in answers or subject.path not in answers:
        return "unknown", "the compiler was not reached or stopped by the sandbox"
    (status, words), (before, known_messages) = answers[subject.mutant_id], answers[subject.path]
    if status is None or before is None:
        return "unknown", words
    if status == 0:
        return "yes", "syntax only" if toolchain.parses_only else ""
    new = sorted(_messages(words) - _messages(known_messages))
    if new or before == 0:
        return "no", (new or ["refused without a message"])[0][:300]
    return "unknown", "the file alone does not compile; the error adds no message"


def _messages(words: str) -> set[str]:
    """Error lines without positions."""
    messages = set()
    for line in words.splitlines():
        error = _ERROR.search(line)
        if error and "aborting due to" not in line and "could not compile" not in line:
            messages.add(error[1].strip())
        elif ".go:" in line:
            messages.add(line.rpartition(": ")[2])
    return {message for message in messages if message}
