"""``twistd rapi`` with a floating address, on a link of network namespaces."""

import base64
import json
import os
import signal
import socket
import ssl
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import missing
from twisted_rapi.admin.check_address import check_address, effective
from twisted_rapi.admin.command import run
from twisted_rapi.admin.files import set_user
from twisted_rapi.config import load
from twisted_rapi.net.kernel import Kernel
from twisted_rapi.testing.namespaces import Link
from twisted_rapi.testing.processes import Daemon, await_true, twistd

FLOATING, NODE, PORT = "192.0.2.100", "192.0.2.1", 5080


class OneCandidate(SynchronousTestCase):
    """One candidate on host ``a``, a client on another host."""

    skip = missing("ip", "netns:")
    interface = "eth0"
    listen = f"{NODE}:{PORT}"

    def setUp(self) -> None:
        """A cluster that was founded on host ``a``."""
        self.link = Link()
        self.addCleanup(self.link.remove)
        self.link.make({"a": (f"{NODE}/24",), "b": ("192.0.2.2/24",), "client": ("192.0.2.3/24",)})
        # Paths of sockets and pid files are short, and the folder is the test's own.
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.etc = self.folder / "etc"
        arguments = [*("--cluster", "vms.example.com", "--node", "node1.example.com", "--address", NODE)]
        arguments += ["--directory", str(self.etc), "--state-dir", str(self.folder), "--hypervisor", "fake"]
        arguments += ["--floating", f"{FLOATING}/24", "--interface", self.interface]
        self.assertEqual(run(["init", *arguments], self.fail), 0)
        file = self.etc / "rapi.toml"
        file.write_text(file.read_text() + f'\n[api]\nlisten = "{self.listen}"\n[metrics]\nlisten = ""\n')
        set_user(self.etc / "users", "admin", "secret", "write")
        inside = ("ip", "netns", "exec", f"{self.link.label}-a")
        self.daemon = Daemon(
            "rapi",
            (*inside, *twistd("rapi", file, self.etc)),
            self.folder / "log",
            lambda: self.answers(NODE),
            {
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
                )
            },
        )
        self.addCleanup(self.daemon.kill)

    def info(self, address: str) -> Any:
        """``/2/info`` as the client gets it."""
        return self.ask(address, b"GET /2/info HTTP/1.1\r\n", b"")

    def submit(self, opcode: str) -> None:
        """Have a job with one opcode run, asked for at the node's address."""
        body = json.dumps([{"OP_ID": opcode}]).encode()
        credentials = base64.b64encode(b"admin:secret")
        head = b"POST /2/jobs HTTP/1.1\r\nContent-Type: application/json\r\n"
        head += b"Authorization: Basic %b\r\nContent-Length: %d\r\n" % (credentials, len(body))
        self.ask(NODE, head, body)

    def ask(self, address: str, head: bytes, body: bytes) -> Any:
        """The answer to a request; it demands that the certificate is good for the address."""
        context = ssl.create_default_context(cafile=str(self.etc / "ca.pem"))
        with self.link.socket("client", socket.AF_INET, socket.SOCK_STREAM) as plain:
            plain.settimeout(3)
            plain.connect((address, PORT))
            with context.wrap_socket(plain, server_hostname=address) as client:
                client.sendall(head + b"Host: vms\r\nConnection: close\r\n\r\n" + body)
                answer = b""
                while part := client.recv(65536):
                    answer += part
        status, _, rest = answer.partition(b"\r\n")
        self.assertIn(b" 200 ", status)
        return json.loads(rest.partition(b"\r\n\r\n")[2])

    def answers(self, address: str) -> bool:
        """Whether the client gets an answer there."""
        try:
            self.info(address)
        except (OSError, self.failureException, ValueError):
            return False
        return True

    def here(self, host: str = "a") -> bool:
        """Whether the host has the floating address."""
        return bool(Kernel(partial(self.link.socket, host)).find(ip_address(FLOATING)))


class OwnTests(OneCandidate):
    """The address is the daemon's to move."""

    def test_term(self) -> None:
        """The address is there, served by its name, with the term, and shown; it ends with the process."""
        self.daemon.start()
        await_true("the floating address answers", lambda: self.answers(FLOATING))
        info = self.info(FLOATING)
        self.assertEqual((info["master_netdev"], info["master_netmask"]), ("eth0", 24))
        self.assertEqual(info["use_external_mip_script"], False)
        self.submit("OP_CLUSTER_DEACTIVATE_MASTER_IP")
        await_true("it was released", lambda: not self.here())
        self.submit("OP_CLUSTER_ACTIVATE_MASTER_IP")
        await_true("the floating address answers again", lambda: self.answers(FLOATING))
        self.daemon.stop()
        self.assertFalse(self.here())

    def test_killed(self) -> None:
        """A daemon that is killed, or stopped, loses the address without doing anything."""
        self.daemon.start()
        for how, go_on in ((signal.SIGSTOP, signal.SIGCONT), (signal.SIGKILL, None)):
            await_true("it is here", self.here)
            self.daemon.signal(how)
            await_true("it has gone", lambda: not self.here())
            if go_on is not None:
                self.daemon.signal(go_on)

    def test_duplicate(self) -> None:
        """What another host has is not taken: the master answers at its node; a leftover goes at once."""
        self.link.run("b", f"ip address add {FLOATING}/24 dev eth0")
        self.link.run("a", f"ip address add {FLOATING}/32 dev lo")
        self.daemon.start()
        await_true("it is said", lambda: "is in use by" in self.daemon.log_end(100000))
        self.assertEqual((self.here("a"), self.here("b")), (False, True))
        self.assertTrue(self.answers(NODE))
        self.link.run("b", f"ip address delete {FLOATING}/24 dev eth0")
        await_true("it answers", lambda: self.answers(FLOATING))

    def test_check(self) -> None:
        """``rapi-admin check`` says what is well, and of the rest how to mend it."""
        config = load(self.etc / "rapi.toml")
        kernel = Kernel(partial(self.link.socket, "a"))
        found = list(check_address(config, kernel, effective()))
        self.assertEqual([good for _, good, _ in found], [True] * 4, found)
        [lacking] = [line for line in check_address(config, kernel, 1 << 12) if not line[1]]
        self.assertIn("CAP_NET_RAW", lacking[2])
        self.link.run("a", f"ip address delete {NODE}/24 dev eth0")
        [lacking] = [line for line in check_address(config, kernel, -1) if not line[1]]
        self.assertIn("192.0.2.0/24", lacking[2])
        self.link.run("a", "ip link set eth0 down")
        [lacking] = [line for line in check_address(config, kernel, -1) if not line[1]]
        self.assertIn("ip link set eth0 up", lacking[2])
        (self.etc / "api.pem").write_bytes((self.etc / "node.pem").read_bytes())
        self.assertIn("api-certificate", [*check_address(config, kernel, -1)][-1][2])


class OnEverythingTests(OneCandidate):
    """The node's listener is reached at the floating address, too."""

    listen = f"0.0.0.0:{PORT}"

    def test_term(self) -> None:
        """It answers at the floating address, until the process ends."""
        self.daemon.start()
        await_true("the floating address answers", lambda: self.answers(FLOATING))
        self.daemon.stop()
        self.assertFalse(self.here())


class FollowTests(OneCandidate):
    """The address is moved by the test."""

    interface = ""

    def test_term(self) -> None:
        """The daemon is master while the address is here, and not while it is elsewhere."""
        self.daemon.start(wait=False)
        await_true("it listens", lambda: "listening on" in self.daemon.log_end(100000))
        for _ in range(2):
            self.assertFalse(self.answers(NODE))
            self.link.run("a", f"ip address add {FLOATING}/24 dev eth0")
            await_true("it is master", lambda: self.answers(FLOATING))
            self.assertTrue(self.info(NODE)["use_external_mip_script"])
            self.link.run("a", f"ip address delete {FLOATING}/24 dev eth0")
            await_true("it is not master", lambda: not self.answers(NODE))
        self.link.run("a", f"ip address add {FLOATING}/24 dev eth0")
        await_true("it is master", lambda: self.answers(FLOATING))
        self.daemon.stop()
        self.assertTrue(self.here())
