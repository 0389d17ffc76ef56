"""Opening a database so that a finished scan survives whatever happens next."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError as BadUrl
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from hessay.errors import ArgumentError, StoreError

_WAIT_SECONDS = 30.0  # for another process to let go of the file
_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x68657373  # of PostgreSQL's advisory locks: one process migrates at a time
_SQLITE_HEADER = b"SQLite format 3\0"


def open_engine(where: str | os.PathLike[str], *, read_only: bool) -> Engine:
    """Connect to a database whose tables are those of this version.

    Raises
    ------
    ArgumentError
        ``where`` is neither a path nor a URL of SQLite or PostgreSQL.
    StoreError
        It cannot be reached, is no database, or was written by a newer version.
    """
    url = _as_url(where)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        _check_file(url, shown, read_only)
    try:
        engine = create_engine(url, **_options(url, read_only))
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(f"no driver for {shown}: {error}; pip install 'psycopg[binary]'") from None
    if url.get_backend_name() == "sqlite":
        _prepare_sqlite(engine, read_only)
    try:
        with spoken(shown):
            if read_only:
                _require_current(engine, shown)
            else:
                _migrate(engine, shown)
    except BaseException:
        engine.dispose()
        raise
    return engine


def now(connection: Connection) -> float:
    """Seconds since 1970 by the one clock all clients of this store share."""
    if connection.dialect.name == "sqlite":
        return time.time()  # an embedded file has one host
    return float(
        connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    )


@contextlib.contextmanager
def spoken(shown: str) -> Iterator[None]:
    """Turn what a database raises into an error of ours, without passwords and statements."""
    try:
        yield
    except (SQLAlchemyError, UnicodeError) as error:  # a damaged file may hold any bytes as text
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StoreError(
            f"the history {shown} did not answer: {reason[0] if reason else type(error).__name__}; "
            f"check that it exists, is whole and can be written"
        ) from None


def _as_url(where: str | os.PathLike[str]) -> URL:
    given = os.fspath(where)
    if "://" not in given:
        if not given:
            raise ArgumentError("the history needs a file name or a URL, got an empty string")
        return URL.create("sqlite", database=given)
    try:
        url = make_url(given)
    except BadUrl:
        raise ArgumentError(
            "the URL of the history cannot be read; give sqlite:///FILE or postgresql://HOST/NAME"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return URL.create("sqlite", database=url.database)
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    raise ArgumentError(
        f"a history is kept in a SQLite file or in PostgreSQL, got "
        f"{url.render_as_string(hide_password=True)}; give sqlite:///FILE or postgresql://HOST/NAME"
    )


def _options(url: URL, read_only: bool) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _WAIT_SECONDS, "check_same_thread": False}}
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    if read_only:
        options["execution_options"] = {"postgresql_readonly": True}
    return options


def _check_file(url: URL, shown: str, read_only: bool) -> None:
    path = Path(str(url.database))
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE_HEADER))
    except FileNotFoundError:
        if read_only:
            raise StoreError(f"there is no history {shown}; hessay watch makes one") from None
        if not path.parent.is_dir():
            raise StoreError(
                f"the folder of the history {shown} does not exist; make it first"
            ) from None
        return
    except OSError as error:
        raise StoreError(f"the history {shown} cannot be read: {error.strerror}") from None
    if start and start != _SQLITE_HEADER:
        raise StoreError(f"{shown} is no SQLite file, and stays as it is; give another name")


def _prepare_sqlite(engine: Engine, read_only: bool) -> None:
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            _write_ahead(cursor)
            cursor.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
        cursor.close()

    def begun(connection: Connection) -> None:
        # A writer takes its lock at once: two that read first and write later would deadlock.
        reads = read_only or connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switch to the write-ahead log, in which readers never wait for a watcher.

    SQLite does not wait its time-out for this switch where another process makes it too.
    """
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(engine: Engine, shown: str) -> None:
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        current = _revision(connection)
        if current == scripts.get_current_head():
            return
        _require_known(current, scripts, shown)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _require_current(engine: Engine, shown: str) -> None:
    scripts = ScriptDirectory.from_config(_config())
    with engine.connect() as connection:
        current = _revision(connection)
    if current is None:
        raise StoreError(f"{shown} holds no history of hessay; give the one a scan was written to")
    _require_known(current, scripts, shown)
    if current != scripts.get_current_head():
        raise StoreError(f"{shown} is of an older version; open it once for writing to bring it up")


def _require_known(current: str | None, scripts: ScriptDirectory, shown: str) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"{shown} was written by a newer hessay (tables of version {current!r}); update hessay"
        )
