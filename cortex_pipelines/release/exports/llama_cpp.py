"""Generate text with llama.cpp, where it is installed."""

import shutil
import subprocess  # nosec B404
from pathlib import Path

from cortex_pipelines.release.exports.source import ExportError

PROMPT = "def read_lines(path):\n    "
_TOKENS = 24
_SECONDS = 300


def generate(base: Path, adapter: Path) -> str | None:
    """Greedy completion of a fixed prompt by base and adapter in llama.cpp.

    Returns:
        None if llama.cpp is not installed: neither ``llama-cli`` on the PATH nor the Python package ``llama_cpp``.

    Raises:
        ExportError: llama.cpp cannot load the files, or generates nothing.
    """
    program = shutil.which("llama-cli")
    text = _by_program(program, base, adapter) if program else _by_package(base, adapter)
    if text is not None and not text.strip():
        raise ExportError("llama.cpp loads base and adapter but generates no text")
    return text


def _by_program(program: str, base: Path, adapter: Path) -> str:
    options = ["-m", str(base), "--lora", str(adapter), "-p", PROMPT, "-n", str(_TOKENS)]
    generation_options = ["--temp", "0", "--no-display-prompt", "-no-cnv"]
    process = subprocess.run(  # nosec B603
        [program, *options, *generation_options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if process.returncode:
        raise ExportError(f"llama-cli cannot load them: {process.stderr.strip()[-500:]}")
    return process.stdout


def _by_package(base: Path, adapter: Path) -> str | None:
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    try:
        model = Llama(str(base), lora_path=str(adapter), verbose=False)
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"llama_cpp cannot load them: {error}") from error
    answer = model(PROMPT, max_tokens=_TOKENS, temperature=0.0)
    return str(answer["choices"][0]["text"])
