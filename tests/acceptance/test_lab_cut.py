"""A lab's network is cut, slowed and made to lose packets under load; nothing is lost or doubled."""

from tests.acceptance.lab import LabCase


class CutTests(LabCase):
    """What is there, but not for everyone."""

    def test_master_cut_off(self) -> None:
        """Cut off both ways, or in one direction only, a master is replaced, and lives on as another one."""
        for fault in ("cut-master", "mute-master", "deaf-master"):
            before, _ = self.campaign.cause(fault)
            self.await_another_than(before)
            self.campaign.mend()
            self.campaign.await_jobs(3)
        self.judge()

    def test_master_cut_off_from_etcd(self) -> None:
        """A master whom clients reach and etcd does not gives its place up: nobody is shown what is old."""
        before = self.put_apart()
        self.campaign.cause("cut-master-etcd", before.short)
        self.await_another_than(before)
        self.campaign.mend()
        self.campaign.await_jobs(3)
        self.judge()

    def test_etcd_cut_off(self) -> None:
        """Etcd's leader is cut off from its members: they elect another one, and jobs go on."""
        self.campaign.cause("cut-etcd")
        self.campaign.await_jobs(3)
        self.campaign.mend()
        self.judge()

    def test_no_majority(self) -> None:
        """Without a majority nothing is promised to anybody; with one again all goes on by itself."""
        self.campaign.cause("split-etcd")
        self.await_no_promises()
        self.campaign.mend()
        self.campaign.await_jobs(4)
        self.judge()

    def test_slow_and_lossy(self) -> None:
        """A master whose packets take long or are lost at times does its work."""
        for fault in ("delay-master", "lossy-master"):
            self.campaign.cause(fault)
            self.campaign.await_jobs(4)
            self.campaign.mend()
        self.judge()
