"""What was scanned, by whom and with which outcome: a history that outlives the process.

SQLite by a path, PostgreSQL by a URL. Scans belong to a series (one model's checkpoints under one set of
settings); a checkpoint is claimed before it is scanned, so that no two watchers scan the same bytes.
"""

from hessay.store.batches import BatchReport
from hessay.store.records import Claim, Kind, ScanRecord, Series, SeriesRecord
from hessay.store.store import Store

__all__ = ["BatchReport", "Claim", "Kind", "ScanRecord", "Series", "SeriesRecord", "Store"]
