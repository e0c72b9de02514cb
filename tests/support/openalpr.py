"""The OpenALPR samples, moved in time as a whole."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "samples" / "openalpr"


def sample(name: str, at: datetime | None = None) -> dict[str, Any]:
    """Return a sample; with `at`, all its times are moved by one amount, so that `epoch_start` is that moment."""
    message: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_bytes())
    if at is not None:
        by_ms = round(at.timestamp() * 1000) - message["epoch_start"]
        for field in ("epoch_start", "epoch_end", "best_uuid_epoch_ms"):
            message[field] += by_ms
    return message
