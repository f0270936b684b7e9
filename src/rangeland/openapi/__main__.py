"""`python -m rangeland.openapi`, behind `make openapi`: write every file that is computed from the API."""

from __future__ import annotations

import sys
from pathlib import Path

from rangeland.openapi.written import BrokenContractError, write_all

if __name__ == "__main__":
    try:
        for path in write_all(Path.cwd()):
            print(path)
    except BrokenContractError as exc:
        sys.exit(f"ERROR: {exc}")
