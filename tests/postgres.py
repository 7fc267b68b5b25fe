"""A PostgreSQL server of our own in a temporary directory, and a database for each test from one template."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

BINARIES = Path("/usr/lib/postgresql/15/bin")
SETTINGS = (
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c listen_addresses=''"
)


class Server:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.numbers = itertools.count()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """URL of a new database that is dropped at the end."""
        name = f"test{next(self.numbers)}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.admin(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def server() -> Iterator[Server]:
    """Runs until the end of the block. The server refuses root, so root runs it as ``postgres``."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if as_user:
        shutil.chown(directory, "postgres")
    data = directory / "data"

    def run(*words: str) -> None:
        subprocess.run([*as_user, *words], check=True, stdout=subprocess.DEVNULL, cwd="/")

    run(str(BINARIES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync")
    control = [str(BINARIES / "pg_ctl"), "-D", str(data), "-w", "-l", str(directory / "log")]
    run(*control, "-o", f"{SETTINGS} -k {directory}", "start")
    try:
        yield Server(directory)
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)
