"""A PostgreSQL server of our own in a temporary directory, and a database for each test from one template."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from wolke.lab import wait_for

BINARIES = Path("/usr/lib/postgresql/15/bin")
SETTINGS = [
    word
    for setting in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "wal_level=minimal",
                    "max_wal_senders=0", "max_connections=200", "shared_buffers=32MB", "listen_addresses=")
    for word in ("-c", setting)
]  # fmt: skip


class Server:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.numbers = itertools.count()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """URL of a new database that is dropped at the end."""
        name = f"test{next(self.numbers)}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            self.admin(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def server() -> Iterator[Server]:
    """Runs until the end of the block, or of this process. The server refuses root, so root runs it as ``postgres``."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    as_user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if as_user:
        shutil.chown(directory, "postgres", "postgres")
    data, log = directory / "data", directory / "log"
    initdb = [str(BINARIES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
    subprocess.run(["setpriv", *as_user, *initdb, "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    words = [str(BINARIES / "postgres"), "-D", str(data), "-k", str(directory), *SETTINGS]
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["setpriv", *as_user, "--pdeathsig=QUIT", *words], stdout=file, stderr=file, cwd="/", start_new_session=True
        )
    try:
        made = Server(directory)
        if not wait_for(lambda: process.poll() is not None or made.answers(), 60) or process.poll() is not None:
            raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}")
        yield made
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)
