"""``rapi-admin store`` and ``etcd-certificates``, and founding a cluster in etcd."""

import json
import time
from pathlib import Path
from typing import Any

from twisted.python import usage

from twisted_rapi.admin.certifying import certify_etcd
from twisted_rapi.admin.moving import move
from twisted_rapi.admin.parts import CONFIG, Command, Work, run_sub, say_out
from twisted_rapi.config import load
from twisted_rapi.errors import ConfigurationError, RapiError


def store_settings(path: Path, etcd: str) -> str:
    """The section of rapi.toml about the store; `etcd`: endpoints, separated by commas."""
    lines = ["[store]", f"path = {json.dumps(str(path), ensure_ascii=False)}"]
    if etcd:
        endpoints = [endpoint.strip() for endpoint in etcd.split(",") if endpoint.strip()]
        lines += ['kind = "etcd"', f"endpoints = {json.dumps(endpoints)}"]
    return "\n".join(lines) + "\n"


async def fill_new_etcd(file: Path, reactor: Any) -> None:
    """
    Move a cluster that was just founded to etcd.

    :raises ConfigurationError: it could not be; what to do is said.
    """
    try:
        await move(load(file).store, "sqlite", "etcd", reactor)
    except RapiError as e:
        raise ConfigurationError(
            f"the cluster is founded, but not in etcd: {e}; mend that, then run"
            " rapi-admin store copy sqlite etcd"
        ) from e


class StoreCopy(Command):
    """``store copy``."""

    synopsis = "[options] FROM TO"
    longdesc = "Move the cluster from one store to the other (sqlite, etcd), as the configuration says where"
    longdesc += " each is.  No master may run; the target must hold no cluster; the source is put away."
    optParameters = [["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."]]

    def parseArgs(self, source: str, target: str) -> None:  # type: ignore[override]
        """Take the two."""
        self["source"], self["target"] = source, target

    def run(self) -> Work:
        """Do it."""
        return self._copy

    async def _copy(self, reactor: Any) -> int:
        section, target = load(Path(self["config"])).store, self["target"]
        count = await move(section, self["source"], target, reactor)
        say_out(f"{count} records were moved to {target}.")
        if section.kind != target:
            say_out(f'Next: set kind = "{target}" in [store] of {self["config"]}, then start rapi.')
        return 0


class Store(Command):
    """``store``: where the cluster is kept."""

    subCommands = [["copy", None, StoreCopy, "Move the cluster to another store."]]

    def run(self) -> int | Work:
        """Do what was named after it."""
        return run_sub(self)


class EtcdCertificates(Command):
    """``etcd-certificates``."""

    synopsis = "[options] NAME=HOST[,HOST...] ..."
    longdesc = "Make an authority for etcd, a certificate for each member, and one for the candidates."
    optParameters = [["directory", None, CONFIG, "Folder for them."]]
    optFlags = [["further", None, "Use the authority in the folder, for members that come to others."]]

    def parseArgs(self, *members: str) -> None:
        """Take the members."""
        if not members:
            raise usage.UsageError("name the members of etcd, each as NAME=HOST")
        self["members"] = members

    def run(self) -> int:
        """Do it."""
        for file in certify_etcd(
            Path(self["directory"]), self["members"], time.time(), bool(self["further"])
        ):
            say_out(str(file))
        say_out("Members need etcd-ca.pem and their own two files; candidates etcd-ca.pem and the client's.")
        say_out(
            "Keep etcd-ca.key where no machine of the cluster is: who has it can read and write everything."
        )
        return 0
