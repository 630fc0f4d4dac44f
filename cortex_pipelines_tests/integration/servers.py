"""Real servers for the tests, started for one module and removed afterwards."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BUCKET = "team"
USER = "cortex"


def postgres_programs() -> Path | None:
    programs = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in programs), key=lambda path: int(path.parts[-2]), default=None)


class Postgres:
    """A PostgreSQL server with a password."""

    def __init__(self, programs: Path, home: Path) -> None:
        self._programs, self._home = programs, home
        self.password = secrets.token_hex(8)
        # it refuses to run as root
        self._owner = "postgres" if os.getuid() == 0 else None
        if self._owner:
            shutil.chown(home, self._owner)
        secret = home / "password"
        secret.write_text(self.password)
        words = ("--auth=scram-sha-256", f"--pwfile={secret}", "--locale=C.UTF-8", "--no-sync")
        secret.chmod(0o644)  # the folder is closed to others
        self._call("initdb", f"--pgdata={home / 'data'}", f"--username={USER}", *words)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.start()

    def start(self) -> None:
        if (self._home / "data" / "postmaster.pid").exists():
            return
        options = f"-h 127.0.0.1 -p {self.port} -k {self._home} -F"
        self._control("start", "-w", "-o", options, "-l", str(self._home / "log"))

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def create(self, database: str) -> None:
        """Make an empty database, in the place of one of this name."""
        connection = ("-h", "127.0.0.1", "-p", str(self.port), "-U", USER)
        self._call("dropdb", *connection, "--force", "--if-exists", database)
        self._call("createdb", *connection, database)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{database}"

    def _control(self, *words: str) -> None:
        self._call("pg_ctl", *words, "-D", str(self._home / "data"))

    def _call(self, program: str, *words: str) -> None:
        subprocess.run(
            (self._programs / program, *words),
            check=True,
            cwd=self._home,
            user=self._owner,
            env=os.environ | {"PGPASSWORD": self.password, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the server lives
            stderr=subprocess.DEVNULL,
        )


@contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """A server whose folder is gone afterwards; pytest's own are closed to its user."""
    home = Path(tempfile.mkdtemp(prefix="cortex-postgres-"))
    server = None
    try:
        server = Postgres(programs, home)
        yield server
    finally:
        if server is not None and (home / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(home)


@contextmanager
def running_s3() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        s3_client(address).create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.stop()


def s3_client(address: str) -> Any:
    boto3 = pytest.importorskip("boto3")
    return boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="nobody", aws_secret_access_key="nothing"
    )


def objects(address: str, prefix: str) -> list[str]:
    listing = s3_client(address).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    return [entry["Key"] for entry in listing.get("Contents", ())]
