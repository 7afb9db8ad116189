"""Write the pages: ``python -m twisted_rapi.reference [FOLDER]``, by default ``docs/reference``."""

import sys
from pathlib import Path

from twisted_rapi.reference.pages import PAGES


def main(arguments: list[str]) -> None:
    """Write each page that is there."""
    folder = Path(arguments[0] if arguments else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
