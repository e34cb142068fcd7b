"""Approved files: what is asked of Azure is pinned, and a change of it is seen in review.

AZREADY_APPROVE=1 writes them anew; read the difference before committing it.
"""

import json
import os
from pathlib import Path
from typing import Any

APPROVED = Path(__file__).parent / "approved"


def approve(name: str, value: Any) -> None:
    """Compare `value` with the approved file `name`.json."""
    path = APPROVED / f"{name}.json"
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("AZREADY_APPROVE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is not approved yet: AZREADY_APPROVE=1"
    assert text == path.read_text(encoding="utf-8"), f"{name} differs from what was approved"
