"""Known vulnerabilities of the locked packages, by pip-audit; arguments are passed on to it.

With AUDIT_DB=FILE nothing is asked of the network: FILE is advisories in the form of OSV, either
the archive that osv.dev exports for PyPI (all.zip) or JSON (one record, a list, or {"vulns": …}).
pip-audit can ask any address that answers as OSV does, so this answers from the file.
"""

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "weights.lock")
AUDIT = ("pip-audit", "--disable-pip", "--progress-spinner=off", "--desc=on")


def main() -> int:
    """Exit status of pip-audit: 1 if a locked version has a known vulnerability."""
    locks = [f"--requirement={ROOT / name}" for name in LOCKS]
    command = [*AUDIT, *locks, *sys.argv[1:]]
    database = os.environ.get("AUDIT_DB")
    if not database:
        return subprocess.run(command).returncode
    try:
        advisories = by_package(Path(database))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        print(f"{database}: no advisories in the form of OSV ({error}); give the archive that")
        print("osv.dev exports for PyPI, or JSON in the same form, as AUDIT_DB")
        return 2
    number = sum(map(len, advisories.values()))
    print(f"{number:,} advisories on {len(advisories):,} packages in {database}", flush=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), answering(advisories)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1/query"
        # a proxy has no way to this machine's own address
        environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        done = subprocess.run([*command, "-s", "osv", "--osv-url", address], env=environment)
        server.shutdown()
    return done.returncode


def by_package(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Advisories by the normalised name of each PyPI package that they are about."""
    advisories: dict[str, list[dict[str, Any]]] = {}
    for record in records(path):
        for affected in record["affected"] if "withdrawn" not in record else ():
            if affected.get("package", {}).get("ecosystem") == "PyPI":
                name = canonicalize_name(affected["package"]["name"])
                affected["package"]["name"] = name
                advisories.setdefault(name, []).append({**record, "affected": [affected]})
    if not advisories:
        raise ValueError("nothing in it is about a package of PyPI")
    return advisories


def records(path: Path) -> Iterator[dict[str, Any]]:
    """All records of an archive or a JSON file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".json"):
                    yield json.loads(archive.read(name))
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict):
        found = found.get("vulns", [found])
    yield from found


def covers(affected: dict[str, Any], version: Version) -> bool:
    """Whether a version is among those listed, or in a range (OSV schema 1.7, "Evaluation")."""
    if any(parsed(listed) == version for listed in affected.get("versions", ())):
        return True
    ranges = [one for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    return any(in_range(one["events"], version) for one in ranges)


def in_range(events: list[dict[str, str]], version: Version) -> bool:
    """Whether a version is after an event that lets the hole in, and before one that mends it."""
    marks = [(parsed(at), kind) for event in events for kind, at in event.items()]
    ordered = sorted((at, kind) for at, kind in marks if at is not None)
    inside = False
    for at, kind in ordered:
        if at > version:
            break
        if kind == "introduced":
            inside = True
        elif kind == "fixed" or (kind == "last_affected" and at < version):
            inside = False
    return inside


def parsed(version: str) -> Version | None:
    """None for what was never a version by PEP 440; pip cannot have installed it."""
    try:
        return Version(version)
    except InvalidVersion:
        return None


def answering(advisories: dict[str, list[dict[str, Any]]]) -> type[BaseHTTPRequestHandler]:
    """A handler of OSV's POST /v1/query for a package in a version."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = advisories.get(canonicalize_name(asked["package"]["name"]), [])
            version = Version(asked["version"])
            vulns = [one for one in known if covers(one["affected"][0], version)]
            body = json.dumps({"vulns": vulns} if vulns else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: pip-audit reports."""

    return Answers


if __name__ == "__main__":
    sys.exit(main())
