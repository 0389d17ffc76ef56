"""The first form: series, their scans, the scans' reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables. They are spelled out: a migration never changes with the code."""
    op.create_table(
        "series",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "scans",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("series_id", _KEY, sa.ForeignKey("series.id"), nullable=False),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_at", sa.Float(53), nullable=False),
        sa.Column("lease_until", sa.Float(53), nullable=False),
        sa.Column("finished_at", sa.Float(53)),
        sa.Column("told_at", sa.Float(53)),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(12)),
        sa.Column("statistic", sa.Float(53)),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("p_value", sa.Float(53)),
        sa.Column("flagged_class", sa.Integer()),
        sa.Column("model_digest", sa.String(80)),
        sa.Column("probe_digest", sa.String(80)),
        sa.UniqueConstraint("series_id", "content", name="one_scan_a_checkpoint"),
    )
    op.create_table(
        "reports",
        sa.Column(
            "scan_id", _KEY, sa.ForeignKey("scans.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("report", sa.Text(), nullable=False),
    )
    for name, *columns in (
        ("scans_by_series", "series_id", "id"),
        ("scans_by_state", "state", "id"),
        ("scans_by_verdict", "verdict", "id"),
        ("scans_by_series_and_state", "series_id", "state", "verdict", "finished_at"),
        ("scans_by_series_and_verdict", "series_id", "verdict", "id"),
    ):
        op.create_index(name, "scans", columns)
