"""A cluster of real processes, asked all that its own document says, and much that cannot be meant."""

import base64
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.acceptance.pvc_clients import REQUESTS, PvcClient
from tests.unit.web.resource_rows import MADE
from twisted_rapi.admin.tokens import add_token
from twisted_rapi.testing.local import LocalCluster
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import await_true

CONFIG = Path(__file__).with_name("schemathesis.toml")
TOKEN = "0955b2a5-1ce2-4a54-9a4e-8d1e61e1a001"
USER, PASSWORD = "demo", "secret"
_CONTEXT = ssl._create_unverified_context()


class SchemathesisTests(SynchronousTestCase):
    """Schemathesis, driven by ``/2/openapi.json``."""

    def ask(self, cluster: LocalCluster, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that is well."""
        request = urllib.request.Request(f"{cluster.url}{path}", method=method)
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        )
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10, context=_CONTEXT) as answer:
            return json.load(answer)

    def set_up(self) -> LocalCluster:
        """A cluster with some objects."""
        cluster = LocalCluster(Path(self.mktemp()).resolve(), nursery=Nursery())
        self.addCleanup(cluster.remove)
        cluster.set_up()
        cluster.add_user(USER, PASSWORD)
        with (cluster.config / "rapi.toml").open("a", encoding="utf-8") as f:
            f.write("\n[pvc]\nenabled = true\n")
        add_token(cluster.config / "pvc-tokens", TOKEN, "of this test")
        cluster.start()
        cluster.await_nodes()
        for request in MADE:
            self.ask(cluster, *request)

        def ended() -> bool:
            jobs = self.ask(cluster, "GET", "/2/jobs?bulk=1")
            return all(job["status"] == "success" for job in jobs)

        await_true("what is asked about is there", ended, 30)
        return cluster

    def test_run(self) -> None:
        """
        Clients of PVC are served.  Then, of whatever is sent to RAPI: no 500, no answer outside the document,
        no bug and no token in the log, and the daemon still answers.
        """
        cluster = self.set_up()
        self.as_clients(PvcClient(cluster.port, TOKEN))
        out = self.schemathesis(cluster)
        operations = sum(map(len, self.methods(cluster))) - 2  # neither for the document again nor for events
        self.assertIn(f"Tested: {operations}", out)
        log = (cluster.config / "rapi.log").read_text(errors="replace")
        self.assertNotIn("incident", log)
        self.assertNotIn(TOKEN, log)
        self.assertTrue(cluster.ready())

    def schemathesis(self, cluster: LocalCluster) -> str:
        """What it prints; it finds nothing wrong."""
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
        ran = subprocess.run(
            [*command, f"{cluster.url}/2/openapi.json", "--auth", f"{USER}:{PASSWORD}"],
            capture_output=True,
            text=True,
            timeout=900,
            cwd=cluster.directory,
        )
        self.assertEqual(ran.returncode, 0, f"{ran.stdout}\n{ran.stderr}")
        return ran.stdout

    def as_clients(self, client: PvcClient) -> None:
        """What clients of each version of PVC send is served, and nothing without the whole token."""
        for headers in ({}, {"X-Api-Key": TOKEN[:-1]}, {"Cookie": "session=1.2.3"}):
            self.assertEqual(client.send("GET", "/node", headers)[0], 401)
        cookie = client.log_in()
        for attribute in ("HttpOnly", "Secure", "SameSite=Strict"):
            self.assertIn(attribute, cookie)
        for sent in REQUESTS:
            status, text = client.ask(sent)
            self.assertEqual((status, sent.shown in text), (sent.status, True), f"{sent}: {status} {text}")

    def methods(self, cluster: LocalCluster) -> list[set[str]]:
        """The methods of each path of the document."""
        paths = self.ask(cluster, "GET", "/2/openapi.json")["paths"]
        return [set(item) - {"parameters"} for item in paths.values()]
