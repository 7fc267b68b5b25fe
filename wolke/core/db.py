"""The database: tables, transactions, and what both SQLite and PostgreSQL need to behave alike.

One write transaction per API call. SQLite: WAL, ``BEGIN IMMEDIATE`` for writes, so a transaction that has begun can always
commit. PostgreSQL: READ COMMITTED and explicit locks (``lock``).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, cast

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    CursorResult,
    Delete,
    Engine,
    Integer,
    MetaData,
    String,
    Update,
    create_engine,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from wolke.core.bell import Bell, LocalBell

Clock = Callable[[], float]
Json = dict[str, Any]


class Base(DeclarativeBase):
    metadata = MetaData(  # constraints have the same names on every database, so that migrations can name them
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: String(255),
        int: BigInteger().with_variant(Integer, "sqlite"),  # SQLite numbers rows by itself only where it reads INTEGER
        dict[str, Any]: JSON,
        dict[str, str]: JSON,
        list[str]: JSON,
        list[Any]: JSON,
    }


class Resource(Base):
    """What every API resource has. ``revision`` grows with each change of a wanted column through the ORM.

    Loops and agents write *seen* columns by Core updates, which leave ``revision`` and ``updated_at`` alone.
    """

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(64), primary_key=True, default=lambda: str(uuid.uuid4()))
    project_id: Mapped[str] = mapped_column(String(64), index=True, default="")
    name: Mapped[str] = mapped_column(default="")
    revision: Mapped[int] = mapped_column(default=1)
    seen_revision: Mapped[int] = mapped_column(default=0)
    deleting: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float] = mapped_column(default=time.time)  # unix seconds
    updated_at: Mapped[float] = mapped_column(default=time.time)


@event.listens_for(Session, "before_flush")
def _count_revision(session: Session, _context: Any, _instances: Any) -> None:
    for thing in session.dirty:
        if isinstance(thing, Resource) and session.is_modified(thing):
            thing.revision += 1
            thing.updated_at = session.info["clock"]()


def new_hex() -> str:
    """An id as keystone writes them: 32 hex digits."""
    return uuid.uuid4().hex


def is_id(text: str) -> bool:
    """Whether a text could be the id of something: a UUID."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def iso(seconds: float, *, micro: bool = False) -> str:
    """UTC in ISO 8601.

    >>> iso(0), iso(0.5, micro=True)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:00.500000Z')
    """
    if micro:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    day, rest = divmod(int(seconds), 86400)  # lists show thousands of times: a third of strftime's cost
    return f"{_date(day)}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}Z"


def unix(text: str) -> float:
    """Unix seconds of a time in ISO 8601, UTC where it names no zone. Raises ValueError.

    >>> unix("1970-01-01T00:01:00"), unix("1970-01-01T02:00:00+02:00")
    (60.0, 0.0)
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


@lru_cache(1024)
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(day)).isoformat()


BEGIN = "wolke_begin"  # execution option of an engine: how it begins on SQLite


class Database:
    """Sessions on one database. ``transaction()`` writes, ``read()`` sees one consistent state and cannot write."""

    def __init__(self, url: str, *, bell: Bell | None = None, clock: Clock = time.time, threads: int = 16) -> None:
        if url.startswith("postgresql://"):
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        self.url, self.clock, self.bell = url, clock, bell or LocalBell()
        self.is_sqlite = url.startswith("sqlite")
        self._writing = threading.Lock()  # a fair queue within the process; SQLite's own waiting polls
        self._writer = self._engine(threads)
        self._reader = self._writer.execution_options(**{BEGIN: "BEGIN"}) if self.is_sqlite else self._writer

    def _engine(self, threads: int) -> Engine:
        options: dict[str, Any] = {
            "json_serializer": lambda value: msgspec.json.encode(value).decode(),
            "json_deserializer": msgspec.json.decode,
            "pool_size": threads + 8,
            "max_overflow": 64,
            "poolclass": QueuePool,
            "hide_parameters": True,  # an error's text goes to the log; what was to be written does not
        }
        if self.is_sqlite:
            options["connect_args"] = {"check_same_thread": False, "timeout": 60}
        else:
            options["pool_pre_ping"] = True
        engine = create_engine(self.url, **options)
        if self.is_sqlite:

            @event.listens_for(engine, "connect")
            def _connected(connection: Any, _record: Any) -> None:
                connection.isolation_level = None  # we say BEGIN ourselves
                for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
                    connection.execute(f"PRAGMA {pragma}")

            @event.listens_for(engine, "begin")
            def _begun(connection: Any) -> None:
                connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN IMMEDIATE"))

        return engine

    @property
    def engine(self) -> Engine:
        return self._writer

    def _session(self, engine: Engine) -> Session:
        session = Session(engine, expire_on_commit=False, autoflush=True)
        session.info.update(clock=self.clock, rings=set(), after=[])
        return session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One write transaction; commits at the end, rolls back at an exception; then rings and runs ``after``."""
        if self.is_sqlite:
            self._writing.acquire()
        try:
            with self._session(self._writer) as session:
                with session.begin():
                    yield session
                rings, after = session.info["rings"], session.info["after"]
        finally:
            if self.is_sqlite:
                self._writing.release()
        if rings:
            self.bell.ring(sorted(rings))
        for call in after:
            call()

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._session(self._reader) as session, session.begin():
            if not self.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield session

    def create_tables(self) -> None:
        """All tables at once, for tests; a real cloud is brought up by the migrations."""
        Base.metadata.create_all(self._writer)

    def close(self) -> None:
        self._writer.dispose()


def matched(db: Session, statement: Delete | Update) -> int:
    """Run it; how many rows it met."""
    return cast(CursorResult[Any], db.execute(statement)).rowcount


def ring(db: Session, topic: str) -> None:
    """Ring the bell when this transaction has been committed."""
    db.info["rings"].add(topic)


def after_commit(db: Session, call: Callable[[], None]) -> None:
    db.info["after"].append(call)


def lock(db: Session, name: str) -> None:
    """Only one transaction at a time goes on beyond this line for one name. SQLite's writers are alone anyway."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
