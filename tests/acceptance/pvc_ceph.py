"""What clients of PVC's API do to a real Ceph: each of its endpoints, in all its methods."""

import attrs

from tests.acceptance.pvc_client import NEWEST, SEED, Pvc
from twisted_rapi.testing.ceph import CephCluster
from twisted_rapi.testing.osd_tools import OsdTools
from twisted_rapi.testing.processes import await_true

AT = "/storage/ceph"
MIB = 1 << 20
DEVICE, OTHER = "/dev/disk/by-id/new", "/dev/disk/by-id/other"
EXTRA, FURTHER = "extra", "further"
MEANT = {"yes-i-really-mean-it": "yes"}


@attrs.frozen
class CephEndpoints:
    """
    Asks for everything once and looks with Ceph's own tools whether it is so.

    :ivar pool: which is there, for guests.
    """

    pvc: Pvc
    ceph: CephCluster
    pool: str

    def whole(self) -> None:
        """How it is, and how full."""
        asked = (("", SEED, "health:"), ("/status", NEWEST, "health:"))
        for path, client, text in (
            *asked,
            ("/df", SEED, "total_space"),
            ("/utilization", NEWEST, "total_space"),
        ):
            found = self.pvc.well("GET", f"{AT}{path}", client)
            assert text in found["ceph_data"], (path, found)

    def _flags(self) -> str:
        found: str = self.ceph.ask("ceph", "osd", "dump")["flags"]
        return found

    def options(self) -> None:
        """A flag of the cluster, in the older way and in the newer."""
        self.pvc.well("POST", f"{AT}/cluster-option", SEED, action="set", option="noscrub")
        assert "noscrub" in self._flags()
        self.pvc.well("POST", f"{AT}/option", action="unset", option="noscrub")
        assert "noscrub" not in self._flags()
        self.refused("POST", f"{AT}/option", action="set", option="nosuch")

    def pools(self) -> None:
        """Two more pools, made in both ways; one gets more placement groups, and goes with what is in it."""
        self.pvc.well("POST", f"{AT}/pool", pool=EXTRA, pgs="4", replcfg="copies=1,mincopies=1")
        self.refused("POST", f"{AT}/pool", pool=EXTRA, pgs="4", replcfg="copies=1,mincopies=1")
        self.pvc.well("PUT", f"{AT}/pool/{EXTRA}", pgs="8")
        self.pvc.well("POST", f"{AT}/pool/{FURTHER}", pgs="4", replcfg="copies=1,mincopies=1")
        [found] = self.pvc.well("GET", f"{AT}/pool/{EXTRA}")
        assert (found["name"], int(found["pgs"])) == (EXTRA, 8), found
        names = {one["name"] for one in self.pvc.well("GET", f"{AT}/pool")}
        assert {EXTRA, FURTHER, self.pool} <= names, names
        self.pvc.well("POST", f"{AT}/volume/{EXTRA}/v", size="1M")
        for pool in (EXTRA, FURTHER):
            self.pvc.well("DELETE", f"{AT}/pool/{pool}", **MEANT)
        left = self.ceph.tool("ceph", "osd", "pool", "ls").split()
        assert not {EXTRA, FURTHER} & {*left}, left

    def volumes(self) -> None:
        """A volume is made, grows, is called otherwise, copied and removed."""
        at = f"{AT}/volume/{self.pool}"
        self.pvc.well("POST", f"{AT}/volume", volume="one", pool=self.pool, size="4M")
        self.refused("POST", f"{at}/one", size="8M")
        self.pvc.well("PUT", f"{at}/one", new_size="8M")
        self.refused("PUT", f"{at}/one", new_size="4M")
        self.pvc.well("PUT", f"{at}/one", new_name="two")
        self.pvc.well("POST", f"{at}/two/clone", new_volume="three")
        [shown] = self.pvc.well("GET", f"{at}/three")
        assert (shown["name"], shown["stats"]["size"]) == ("three", "8192K"), shown
        listed = {one["name"] for one in self.pvc.well("GET", f"{AT}/volume", pool=self.pool)}
        assert {"two", "three"} <= listed, listed
        sizes = {name: self.ceph.ask("rbd", "info", f"{self.pool}/{name}")["size"] for name in listed}
        assert (sizes["two"], sizes["three"]) == (8 * MIB, 8 * MIB), sizes
        self.pvc.well("DELETE", f"{at}/three")
        self.refused("DELETE", f"{at}/three")

    def snapshots(self) -> None:
        """Snapshots of a volume are taken in all ways, called otherwise, gone back to and forgotten."""
        at, name = f"{AT}/snapshot/{self.pool}/two", {"volume": "two", "pool": self.pool}
        self.pvc.well("POST", f"{AT}/snapshot", snapshot="a", **name)
        self.pvc.well("POST", f"{AT}/volume/snapshot", SEED, snapshot="b", **name)
        self.pvc.well("POST", f"{at}/d")
        self.pvc.well("PUT", f"{at}/a", new_name="c")
        [shown] = self.pvc.well("GET", f"{at}/c")
        assert shown["snapshot"] == "c", shown
        listed = {one["snapshot"] for one in self.pvc.well("GET", f"{AT}/snapshot", **name)}
        assert listed == {"b", "c", "d"}, listed
        self.pvc.well("POST", f"{at}/c/rollback")
        self.pvc.well("DELETE", f"{AT}/volume/snapshot/{self.pool}/two/b", SEED)
        self.refused("DELETE", f"{at}/b")
        self.pvc.well("DELETE", f"{AT}/volume/{self.pool}/two")
        assert "two" not in self.ceph.ask("rbd", "ls", self.pool)

    def osd(self, node: str) -> None:
        """One more OSD is made on a node, another takes its place, gets data, is drained and removed."""
        before, up = self._osds(), self.ceph.up()
        self.pvc.well("POST", f"{AT}/osd", node=node, device=DEVICE, weight="0.002")
        [osd] = self._osds() - before
        await_true(f"OSD {osd} is up", lambda: self.ceph.up() == up + 1, 120)
        [shown] = self.pvc.well("GET", f"{AT}/osd/{osd}")
        assert (shown["node"], shown["stats"]["up"]) == (node, 1), shown
        self._move(osd, "out")
        osd = self._replaced(osd, node, before)
        await_true(f"OSD {osd} is up", lambda: self.ceph.up() == up + 1, 120)
        self._move(osd, "out")
        self._move(osd, "in")
        await_true("data is to be on it", lambda: osd in self._holders(), 120)
        self.pvc.well("DELETE", f"{AT}/osd/{osd}", **MEANT)
        assert {one["id"] for one in self.pvc.well("GET", f"{AT}/osd")} == before == self._osds()
        self.refused("DELETE", f"{AT}/osd/{osd}", **MEANT)

    def _replaced(self, osd: str, node: str, before: set[str]) -> str:
        """Have another device in the place of an OSD's; the new one, which may have the number of the old."""
        self.pvc.well("POST", f"{AT}/osd/{osd}", new_device=OTHER, **MEANT)
        [new] = self._osds() - before
        assert OsdTools(self.ceph, node.partition(".")[0]).devices() == {int(new): OTHER}
        return new

    def _osds(self) -> set[str]:
        return {str(osd) for osd in self.ceph.ask("ceph", "osd", "ls")}

    def _move(self, osd: str, state: str) -> None:
        """Have it take part, or not."""
        self.pvc.well("POST", f"{AT}/osd/{osd}/state", state=state)
        found = self.pvc.well("GET", f"{AT}/osd/{osd}/state")
        assert bool(int(found["in"])) is (state == "in"), found

    def _holders(self) -> set[str]:
        """The OSDs that placement groups of the pool are on."""
        found = self.ceph.ask("ceph", "pg", "ls-by-pool", self.pool)["pg_stats"]
        return {str(osd) for one in found for osd in one["up"]}

    def refused(self, method: str, path: str, **values: str) -> None:
        """It is not to be, and that is told."""
        status, body = self.pvc.ask(method, path, NEWEST, **values)
        assert status in (400, 404) and body["message"], (method, path, values, status, body)
