"""Numbers of a separate implementation of the laws, and the configurations they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "theory_reference.json").read_text("utf-8")
)
SEED = 20250515
