"""The contract of `IOsRunner` on the fake; that of the real one is with the functional tests."""

from twisted.trial.unittest import TestCase

from twisted_rapi.agent.interface import IOsRunner
from twisted_rapi.model.seen import OsSeen
from twisted_rapi.testing.contracts.os_runner import OsRunnerContract
from twisted_rapi.testing.os_runner import FakeOs, FakeOsRunner


class FakeOsRunnerTests(OsRunnerContract, TestCase):
    """The fake."""

    def make(self) -> IOsRunner:
        good = OsSeen(
            name="good",
            path="/os/good",
            api_versions=(20,),
            variants=("v1", "v2"),
            parameters=(("dhcp", "whether"),),
        )
        bad = OsSeen(name="bad", path="/os/bad", api_versions=(15,))
        self.fake = FakeOsRunner(
            FakeOs(seen=good, refused={"dhcp": "maybe"}),
            FakeOs(seen=bad, lines=tuple(f"line {n}" for n in range(1, 31)), status=3),
            FakeOs(seen=OsSeen(name="broken", path="/os/broken", invalid="API version mismatch")),
        )
        return self.fake

    def ran(self) -> list[tuple[str, str, str]]:
        return self.fake.ran
