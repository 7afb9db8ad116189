"""What a suite needs of the machine: a reason to leave it out, or a failure where nothing may be left out."""

import importlib.util
import os
import shutil
from pathlib import Path

from twisted_rapi.testing.lab import probe
from twisted_rapi.testing.namespaces import reason_not


def missing(*needs: str) -> str | None:
    """
    Why a suite with these needs cannot run; ``None`` when it can, for a test case's ``skip``.

    A need is a command, ``module:NAME``, ``file:PATTERN`` below ``/``, or ``netns:`` for network
    namespaces.  With ``REQUIRE_ALL`` in the
    environment nothing is left out: the suite runs, and fails on what it misses.
    """
    if os.environ.get("REQUIRE_ALL"):
        return None
    gone = [need for need in needs if not _there(need)]
    return f"not on this machine: {', '.join(gone)}" if gone else None


def missing_for_lab() -> str | None:
    """Why no lab of network namespaces can be set up here; ``None`` as for `missing`."""
    return None if os.environ.get("REQUIRE_ALL") else probe.missing()


def _there(need: str) -> bool:
    kind, colon, name = need.partition(":")
    if not colon:
        return shutil.which(need) is not None
    if kind == "netns":
        return reason_not() is None
    if kind == "module":
        return importlib.util.find_spec(name) is not None
    return any(Path("/").glob(name.lstrip("/")))
