"""What is sent to do harm: it is refused, quickly, and nothing of it stays."""

import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer, parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from tests.unit.web.pvc.network_case import FRONT
from tests.unit.web.pvc.test_generated import encoded
from tests.unit.web.test_api import CREATION
from twisted_rapi.model.record_base import Record
from twisted_rapi.web.pvc.endpoints import PREFIX

NAME = "web1.example.com"
MOST = 10 * 1024 * 1024  # bytes of a body that are read
AGENTS = ("", "pvc/0.6", "pvc/1.0")
SECONDS = 20.0  # of the processor: far more than anything here needs, far less than what never ends

# Each would do something else than it says, if it came to a shell, a tool's options, a path or a header.
INJECTED = (
    "-rf",
    "--all",
    "a;touch x",
    "$(touch x)",
    "`touch x`",
    "a\nb",
    "a\r\nX: y",
    "a|b",
    "../../x",
    "a b",
    "\0",
    "'\"",
    "%s%n",
    "{0.__class__}",
    "ä" * 200,
)
BACK = {
    "vni": "200",
    "description": "back",
    "nettype": "managed",
    "ip4_network": "10.200.0.0/24",
    "ip4_gateway": "10.200.0.1",
}
# By path: a request that is well but for one value that may not have any of those.
NAMED: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("POST", "/network", "domain", BACK),
    ("POST", "/network", "ip4_network", BACK),
    ("POST", "/network", "vni", BACK),
    ("POST", "/network/front/lease", "macaddress", {"ipaddress": "10.100.0.77"}),
    ("POST", "/network/front/lease", "ipaddress", {"macaddress": "52:54:00:00:00:77"}),
    ("POST", "/storage/ceph/pool", "pool", {"pgs": "8"}),
    ("POST", "/storage/ceph/volume", "volume", {"pool": "rbd", "size": "1G"}),
    ("POST", "/storage/ceph/volume", "pool", {"volume": "w", "size": "1G"}),
    ("POST", "/storage/ceph/volume", "size", {"pool": "rbd", "volume": "w"}),
    ("POST", "/storage/ceph/volume/snapshot", "snapshot", {"pool": "rbd", "volume": "v"}),
    ("POST", "/storage/ceph/osd", "device", {"node": "node1.example.com", "weight": "1"}),
    ("POST", "/storage/ceph/osd", "node", {"device": "/dev/sdb", "weight": "1"}),
    ("POST", "/storage/ceph/cluster-option", "option", {"action": "set"}),
    ("POST", f"/vm/{NAME}/node", "node", {"action": "migrate"}),
)
# Regular expressions that take Python's own for ever.
PATTERNS = ("(a+)+$", "(a|a)*b", "(.*a){30}", "((a{0,200}){0,200}){0,200}", "a" * 5000, "(" * 500, "[" * 100)


class HostileCase(SynchronousTestCase):
    """Has a cluster with a machine, a network and a volume, open to all."""

    def setUp(self) -> None:
        """Nothing else has been done there."""
        self.browser = PvcBrowser(Path(self.mktemp()))
        self.addCleanup(self.browser.cluster.stop)
        self.browser.rapi.done("POST", "/2/instances", CREATION)
        for path, form in (
            ("/network", FRONT),
            ("/storage/ceph/volume", {"pool": "rbd", "volume": "v", "size": "1G"}),
        ):
            self.assertEqual(self.browser.ask("POST", path, form=form).status, 200, path)

    def records(self) -> dict[str, Record]:
        """All that is stored besides jobs."""
        return dict(self.browser.cluster.snapshot._records)

    def ask(self, method: str, path: str, body: bytes, media_type: str = FORM, agent: str = "") -> Answer:
        """The answer; to wait for it costs no time here."""
        begun = time.process_time()
        sent = self.browser.waited(method, f"{PREFIX}{path}", body, media_type, 400, User_Agent=agent)
        self.assertLess(time.process_time() - begun, SECONDS, path)
        return parse(sent)


class InjectionTests(HostileCase):
    """Values that are no names."""

    def test_values(self) -> None:
        """They are refused, and nothing is made of them."""
        before = self.records()
        for method, path, field, form in NAMED:
            for value in INJECTED:
                pairs = [(n, v) for n, v in form.items() if n != field] + [(field, value)]
                answer = self.ask(method, path, encoded(pairs).encode())
                self.assertIn(answer.status, (400, 404, 520), (path, field, value, answer.body))
                self.assertNotIn("x", [name for name in answer.headers if name == "x"])
        self.assertEqual(self.records(), before)

    def test_names(self) -> None:
        """So they are as names in URIs, where they are no names of anything."""
        before = self.records()
        for path in ("/vm/{}", "/network/{}", "/storage/ceph/pool/{}", "/storage/ceph/volume/rbd/{}"):
            for value in INJECTED:
                uri = path.format(encoded([("", value)])[1:])
                for agent in AGENTS:
                    answer = self.ask(
                        "DELETE", f"{uri}?yes_i_really_mean_it&yes-i-really-mean-it=true", b"", agent=agent
                    )
                    self.assertIn(answer.status, (400, 404, 405), (uri, answer.body))
        self.assertEqual(self.records(), before)


_LAUGHS = "".join(f'<!ENTITY l{n} "' + f"&l{n - 1};" * 10 + '">' for n in range(1, 10))
_MANY = " ".join(f'a{n}="x"' for n in range(20_000))
XML = (
    f'<!DOCTYPE d [<!ENTITY l0 "ha">{_LAUGHS}]><domain><name>&l9;</name></domain>',
    '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain><name>&x;</name></domain>',
    '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x.dtd"><domain><name>x</name></domain>',
    '<!DOCTYPE d [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><domain/>',
    '<domain xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></domain>',
    "<a>" * 100_000,
    "<a>" * 5000 + "</a>" * 5000,
    f"<domain {_MANY}/>",
    '<?xml version="1.0" encoding="utf-16"?><domain/>',
    '<?xml version="1.0" encoding="nosuch"?><domain/>',
    "<domain><name>x</name",
    "\ufeff<domain/>",
    "<domain><name>\x00</name></domain>",
    "",
    "no XML",
    "<domain><name>-rf</name><uuid>x</uuid></domain>",
)


class XmlTests(HostileCase):
    """Definitions that nobody means."""

    def test_refused(self) -> None:
        """They are refused with a reason, soon, and no file's content is in any answer."""
        before = self.records()
        for xml in XML:
            for method, path in (("POST", "/vm"), ("PUT", f"/vm/{NAME}")):
                for agent in AGENTS:
                    answer = self.ask(method, path, encoded([("xml", xml)]).encode(), agent=agent)
                    self.assertEqual(answer.status, 400, (xml[:60], method, agent, answer.body[:200]))
                    self.assertNotIn(b"root:", answer.body)
        self.assertEqual(self.records(), before)


class SizeTests(HostileCase):
    """Much of anything."""

    def test_large(self) -> None:
        """Ten megabytes in any form are read or refused, and stay nowhere."""
        before = self.records()
        bodies = (
            (b"xml=" + b"<a>" * (MOST // 3 - 10), FORM),
            (b"&" * (MOST - 10), FORM),
            (b"a=&" * (MOST // 3 - 10), FORM),
            (b"limit=" + b"%41" * (MOST // 3 - 10), FORM),
            (b"[" * (MOST - 10), "application/json"),
            (b'{"xml": "' + b"\\u0041" * (MOST // 6 - 10) + b'"}', "application/json"),
            (b"--x\r\n" * (MOST // 5 - 10), "multipart/form-data; boundary=x"),
            (b"\xff" * (MOST - 10), "multipart/form-data; boundary=" + "y" * 70),
        )
        for n, (body, media_type) in enumerate(bodies):
            agent = AGENTS[n % len(AGENTS)]
            answer = self.ask("POST", "/vm", body, media_type, agent)
            self.assertIn(answer.status, (400, 405, 413), (media_type, agent))
        self.assertEqual(self.records(), before)
        self.assertEqual(self.browser.ask("GET", "").status, 209)

    def test_repeated(self) -> None:
        """A value that is given a thousand times, and a thousand and one."""
        for count, agent in ((1000, ""), (1000, "pvc/1.0"), (1001, ""), (1001, "pvc/0.6")):
            body = "&".join(["limit=a"] * count).encode()
            answer = self.ask("GET", "/vm", body, agent=agent)
            self.assertIn(answer.status, (200, 400), (count, agent))


class PatternTests(HostileCase):
    """Regular expressions."""

    def test_slow(self) -> None:
        """None of them takes long, whatever it is matched with."""
        for path in ("/vm", "/node", "/network", "/storage/ceph/volume", "/storage/ceph/osd"):
            for pattern in PATTERNS:
                for agent in AGENTS:
                    body = encoded([("limit", pattern)]).encode()
                    answer = self.ask("GET", path, body, agent=agent)
                    self.assertIn(answer.status, (200, 400, 404), (path, pattern))


class EncodingTests(HostileCase):
    """Bytes that are no text."""

    def test_wrong(self) -> None:
        """They are refused in each form of a body, and no answer has them."""
        bodies = (
            (b"limit=%ff%fe", FORM),
            (b"limit=\xff", FORM),
            (b"limit=%ed%a0%80", FORM),
            (b'{"limit": "\xff"}', "application/json"),
            (b"\xff\xfe{\0", "application/json"),
            (
                b'--x\r\nContent-Disposition: form-data; name="limit"\r\n\r\n\xff\r\n--x--',
                "multipart/form-data; boundary=x",
            ),
        )
        for body, media_type in bodies:
            for agent in AGENTS:
                answer = self.ask("GET", "/node", body, media_type, agent)
                self.assertEqual(answer.status, 400, (body, agent))
                self.assertTrue(answer.json())
        lone = b'{"limit": "\\ud800"}'
        self.assertIn(self.ask("GET", "/node", lone, "application/json", "pvc/0.6").status, (400, 404))
