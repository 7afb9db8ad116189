"""A cluster of real processes, used by a script written for Ganeti."""

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery

SCRIPT = Path(__file__).with_name("ganeti_every_method.py")
CLIENT = "file:/usr/lib/python3/dist-packages/ganeti/rapi/client.py"


class GanetiClientTests(SynchronousTestCase):
    """Ganeti's own client, unmodified, finds what it expects."""

    skip = missing(CLIENT)

    def test_script(self) -> None:
        """All that a script may do: every public method of the client is called and gets what it expects."""
        cluster = LocalCluster(Path(self.mktemp()).resolve(), nursery=Nursery())
        self.addCleanup(cluster.remove)
        cluster.set_up()
        cluster.add_user("demo", "secret")
        cluster.start()
        ran = subprocess.run(
            ["/usr/bin/python3", str(SCRIPT), str(cluster.port), "demo", "secret"],
            capture_output=True,
            text=True,
            timeout=300,
            env={"PATH": os.environ["PATH"]},
        )
        self.assertEqual(ran.returncode, 0, f"{ran.stdout}\n{ran.stderr}\n{cluster.master.log_end()}")
        self.assertIn("ok: methods left out", ran.stdout)
        left = [p for p in cluster.directory.glob("*file-storage/**/*") if p.is_file()]
        self.assertEqual(left, [])
