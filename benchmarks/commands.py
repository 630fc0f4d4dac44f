"""``python -m benchmarks.commands PROJECT``: processor seconds of what only reads, in the finished project here."""

import resource
import subprocess
import sys
from pathlib import Path

_RUNS = 3
_COMMANDS = (
    "--help|releases|status|summary|params|doctor|lineage task_router|route Rotate the leaked API key|"
    "search session cookie --project {0}|context session cookie --project {0}|graph callers url_for --project {0}"
)


def _seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([Path(sys.executable).with_name("cortex"), *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(project: str) -> None:
    """Print the least of three runs of each command; the first writes byte code and indexes."""
    for line in _COMMANDS.format(project).split("|"):
        command, _, parameters = line.partition(" ")
        words, *options = parameters.split(" --project ") if parameters else [""]
        arguments = [command, *(words.split(" ", 1) if command == "graph" else [words] if words else [])]
        arguments += ["--project", *options] if options else []
        print(f"{min(_seconds(arguments) for _ in range(_RUNS)):5.2f}  cortex {line}")


if __name__ == "__main__":
    main(sys.argv[1])
