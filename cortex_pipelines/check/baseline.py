"""Findings that a team has accepted for now.

A finding is identified by its file, its rule and the text of its line, so it may move; of several with the same
fingerprint as many are accepted as the baseline has.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.check.findings import Finding

_VERSION = 1


class BaselineError(ValueError):
    pass


@dataclass(frozen=True)
class ReportedFinding:
    finding: Finding
    path: str  # relative to the baseline's folder
    fingerprint: str


def fingerprint(finding: Finding, line: str, path: str) -> str:
    """Identity of a finding that does not depend on the lines above it."""
    parts = (path, finding.rule, " ".join(line.split()))
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()


def read_baseline(path: Path) -> Counter[str]:
    """Number of accepted findings by fingerprint. Raises BaselineError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        accepted = {entry["fingerprint"]: int(entry["count"]) for entry in content["findings"]}
    except FileNotFoundError as error:
        raise BaselineError(f"{path}: no such file; --write-baseline makes it") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BaselineError(f"{path}: is not a baseline of `cortex check`; --write-baseline replaces it") from error
    return Counter(accepted)


def write_baseline(path: Path, findings: Iterable[ReportedFinding]) -> None:
    counts = Counter((each.path, each.finding.rule, each.fingerprint) for each in findings)
    entries = [
        {"path": path, "rule": rule, "fingerprint": mark, "count": count}
        for (path, rule, mark), count in sorted(counts.items())
    ]
    write_whole(path, json.dumps({"version": _VERSION, "findings": entries}, indent=1) + "\n")
