"""Batches of data beside checkpoints: the kind of a series, and how many samples were selected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns; what is there already are checkpoints."""
    kind = sa.Column("kind", sa.String(16), nullable=False, server_default="checkpoint")
    op.add_column("series", kind)
    op.add_column("scans", sa.Column("n_samples", sa.Integer()))
    op.add_column("scans", sa.Column("n_selected", sa.Integer()))
