"""The three tables; :mod:`hessay.store.migrations` leads an older file to them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
# SQLite numbers rows by itself only where the key is called INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")

series = Table(
    "series",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("settings", Text, nullable=False),  # JSON: what all scans of the series share
    Column("created_at", Float(53), nullable=False),  # seconds since 1970, UTC, as all times here
    Column("kind", String(16), nullable=False, server_default="checkpoint"),  # or data batch
)

scans = Table(
    "scans",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("series_id", _KEY, ForeignKey("series.id"), nullable=False),
    Column("content", String(64), nullable=False),  # sha256 of the bytes, hex
    Column("name", Text, nullable=False),  # of the file when it was claimed
    Column("state", String(8), nullable=False),  # claimed, done or failed
    Column("token", String(32), nullable=False),  # of the claim that may finish it
    Column("worker", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_at", Float(53), nullable=False),
    Column("lease_until", Float(53), nullable=False),
    Column("finished_at", Float(53)),
    Column("told_at", Float(53)),  # when all who are to be told of it had been
    Column("message", Text, nullable=False),  # why it failed, else empty
    Column("verdict", String(12)),
    Column("statistic", Float(53)),
    Column("threshold", Float(53)),
    Column("p_value", Float(53)),
    Column("flagged_class", Integer),
    Column("model_digest", String(80)),
    Column("probe_digest", String(80)),
    Column("n_samples", Integer),  # of a data batch
    Column("n_selected", Integer),  # of a data batch
    UniqueConstraint("series_id", "content", name="one_scan_a_checkpoint"),
    Index("scans_by_series", "series_id", "id"),
    Index("scans_by_state", "state", "id"),
    Index("scans_by_verdict", "verdict", "id"),
    Index("scans_by_series_and_state", "series_id", "state", "verdict", "finished_at"),
    Index("scans_by_series_and_verdict", "series_id", "verdict", "id"),
)

# A table of its own, so that lists do not read past megabytes of reports.
reports = Table(
    "reports",
    metadata,
    Column("scan_id", _KEY, ForeignKey("scans.id"), primary_key=True, autoincrement=False),
    Column("report", Text, nullable=False),  # the whole of it, JSON
)
