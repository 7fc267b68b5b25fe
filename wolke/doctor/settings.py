"""A cloud's own files: settings, policy.yaml, database, certificates. Only looked at; a database that is not there stays so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from wolke.doctor.engines import judged, numbers
from wolke.doctor.finding import Finding, degraded, missing, ok
from wolke.doctor.machine import Machine

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from wolke.core.config import Config

DAY = 86400.0
SOON_DAYS = 14  # hosts renew when a third of 90 days is left; one that has not by now is in trouble
AUTHORITY_SOON_DAYS = 365
INIT = "wolke init --config FILE"


def read(path: Path) -> Config | Finding:
    """The settings, or what is wrong with the file."""
    import msgspec

    from wolke.core.config import load

    try:
        return load(path)
    except OSError as error:
        return missing("settings", f"{path}: {error.strerror}", "name the file of this cloud: --config FILE")
    except (ValueError, msgspec.ValidationError) as error:
        return missing("settings", f"{path}: {error}", "mend that line; wolke/core/config.py has every setting")


def policy(config: Config) -> Iterator[Finding]:
    import yaml

    from wolke import cloud  # its import declares every rule
    from wolke.core.policy import Policy

    if not config.policy:
        yield ok("policy.yaml", "none: the default roles decide")
        return
    if not Path(config.policy).exists():
        yield missing(
            "policy.yaml", f"{config.policy} is not there: the api does not start", "write it, or unset 'policy'"
        )
        return
    try:
        overrides = Policy.load(config.policy)
    except (ValueError, AttributeError, OSError, yaml.YAMLError) as error:
        yield missing("policy.yaml", f"{config.policy}: {error}", "mend it; the api does not start with it")
        return
    cloud.services()
    unknown = overrides.unknown()
    if unknown:
        cure = "correct the spelling: a rule nobody asks protects nothing"
        yield degraded("policy.yaml", f"no call asks {', '.join(unknown)}", cure)
    else:
        yield ok("policy.yaml", config.policy)


def database(machine: Machine, config: Config) -> Iterator[Finding]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    url = config.database_url
    if url.startswith("sqlite"):
        file = url.partition(":///")[2]
        if not machine.exists(file):
            yield degraded("database", f"{file} is not there yet", INIT)
            return
        # Without a log beside it nobody writes; then it is opened so that SQLite makes none either.
        unchanging = "" if machine.exists(f"{file}-wal") else "&immutable=1"
        url = f"sqlite:///file:{quote(file)}?mode=ro{unchanging}&uri=true"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                version = numbers(str(connection.exec_driver_sql("SHOW server_version").scalar()))
                yield judged("PostgreSQL", version[:2] or version, (15,), "postgresql")
            yield ok("database", engine.url.render_as_string(hide_password=True).partition("?")[0])
            yield schema(connection)
            yield from authority(connection, machine.now())
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield missing("database", f"it cannot be read: {reason}", "start it, or mend 'database' in the settings")
    finally:
        engine.dispose()


def schema(connection: Connection) -> Finding:
    """The schema's step beside the newest of this release."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import inspect

    from wolke import migrations

    newest = set(ScriptDirectory.from_config(migrations.settings()).get_heads())
    here = set(MigrationContext.configure(connection).get_current_heads())
    if here == newest:
        if not inspect(connection).get_table_names():
            return degraded("schema", "the database is empty", INIT)
        return ok("schema", ", ".join(sorted(here)) or "as this release declares it")
    steps = f"{', '.join(sorted(here)) or 'no step'}; this release has {', '.join(sorted(newest)) or 'none'}"
    return missing("schema", steps, f"{INIT} brings it to this release (with api and loops stopped)")


def authority(connection: Connection, now: float) -> Iterator[Finding]:
    """The certificate that every host's is signed with."""
    from sqlalchemy import inspect, text

    if inspect(connection).has_table("authority"):
        for pem in connection.execute(text("SELECT certificate FROM authority")).scalars():
            yield certificate(
                "hosts' authority", str(pem), now, AUTHORITY_SOON_DAYS, "plan for new certificates on all hosts"
            )


def certificate(what: str, pem: str, now: float, soon_days: int, cure: str) -> Finding:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        return missing(what, f"it cannot be read: {error}", cure)
    left = (found.not_valid_after_utc.timestamp() - now) / DAY
    ends = f"{found.not_valid_after_utc:%Y-%m-%d}"
    if left < 0:
        return missing(what, f"ended on {ends}", cure)
    if left < soon_days:
        return degraded(what, f"ends on {ends}, in {left:.0f} days", cure)
    return ok(what, f"valid until {ends}")


def host(machine: Machine, path: Path) -> Iterator[Finding]:
    """An agent's settings and its certificate."""
    import msgspec

    from wolke.agent.main import load

    try:
        settings = load(path)
    except OSError as error:
        yield missing(
            "agent's settings", f"{path}: {error.strerror}", "name the file of this host: --agent-config FILE"
        )
        return
    except (ValueError, msgspec.ValidationError) as error:
        yield missing("agent's settings", f"{path}: {error}", "mend that line; wolke/agent/main.py has every setting")
        return
    yield ok("agent's settings", str(path))
    pem = machine.text(f"{settings.state}/node/cert.pem")
    if pem:
        cure = "start the agent and look at its log; after the end the host must join anew (wolke join-token)"
        yield certificate("host's certificate", pem, machine.now(), SOON_DAYS, cure)
    else:
        yield degraded(
            "host's certificate", "this host has not joined yet", f"wolke join-token --config FILE {settings.host}"
        )
