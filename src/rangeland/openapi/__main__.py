"""`python -m rangeland.openapi`, behind `make openapi`: write every file that is computed from the API."""

from __future__ import annotations

from pathlib import Path

from rangeland.openapi.written import write_all

if __name__ == "__main__":
    for path in write_all(Path.cwd()):
        print(path)
