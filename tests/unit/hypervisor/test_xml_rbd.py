"""Disks in a Ceph cluster in domain XML."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.hypervisor.test_domain_xml import spec
from twisted_rapi.errors import StepFailed
from twisted_rapi.hypervisor.domain_xml import device_names, from_xml, to_xml
from twisted_rapi.hypervisor.xml_base import Found
from twisted_rapi.model.rbd import NAME, RbdImage, uri

SECRET = "b8b0a3a4-6d0c-4f6e-9df2-1d2f6f7a1c11"
_names = st.from_regex(NAME, fullmatch=True).map(lambda name: name[:20])
_hosts = st.sampled_from(["ceph1", "10.0.0.1:6789", "[fd00::1]:6789", "[fd00::2]"])
NOBODY: Mapping[str, str] = {}


def written(path: str, secrets: Mapping[str, str] = NOBODY, **hvparams: object) -> str:
    """The XML of a machine with this disk."""
    return to_xml(spec(disks=1, **hvparams), [path], "qemu", "", Found(secrets=secrets))  # type: ignore[arg-type]


def disk(text: str) -> ET.Element:
    """The disk in it."""
    found = ET.fromstring(text).find("devices/disk")
    assert found is not None
    return found


class DiskTests(SynchronousTestCase):
    """What a guest reaches by librbd."""

    @given(_names, _names, st.none() | _names.filter(lambda u: u != "admin"), st.lists(_hosts, max_size=3))
    def test_round_trip(self, pool: str, name: str, user: str | None, hosts: list[str]) -> None:
        """What is written is read again as the same path, and the disk is the instance's."""
        image = RbdImage(pool=pool, name=name, user=user or "", conf="/c:d.conf", monitors=tuple(hosts))
        text = written(uri(image), {user or "admin": SECRET})
        [(path, mode, serial)] = from_xml(text).disks
        self.assertEqual((path, mode), (uri(image), "rw"))
        self.assertEqual(device_names(text)[0], serial)

    def test_known(self) -> None:
        """With a secret the disk says who reads it."""
        found = disk(written("rbd:vms/a:id=kvm:conf=/c", {"kvm": SECRET}))
        self.assertEqual((found.get("type"), found.get("device")), ("network", "disk"))
        shown = [
            (n.tag, dict(n.attrib)) for n in found.iter() if n.tag in ("auth", "secret", "source", "config")
        ]
        self.assertEqual(
            shown,
            [
                ("auth", {"username": "kvm"}),
                ("secret", {"type": "ceph", "uuid": SECRET}),
                ("source", {"protocol": "rbd", "name": "vms/a"}),
                ("config", {"file": "/c"}),
            ],
        )

    def test_unknown(self) -> None:
        """The usual user needs no secret; that another one has none is told, with where to say it."""
        found = disk(written("rbd:vms/a"))
        self.assertIsNone(found.find("auth"))
        self.assertEqual([child.tag for child in found.findall("source/*")], [])
        error = self.assertRaises(StepFailed, written, "rbd:vms/a:id=kvm", {"admin": SECRET})
        self.assertIn(
            "[ceph] of this node's agent.toml names no secret of libvirt for the user kvm", error.text
        )

    def test_parameters(self) -> None:
        """Cache and discard are the guest's; how the node's kernel would read has no meaning."""
        driver = disk(written("rbd:vms/a", disk_cache="writeback", disk_aio="native", disk_discard="unmap"))
        found = driver.find("driver")
        assert found is not None
        told = {"name": "qemu", "type": "raw", "cache": "writeback", "discard": "unmap"}
        self.assertEqual(found.attrib, told)
        self.assertRaises(StepFailed, written, "rbd:vms/a", disk_type="scsi-block")

    def test_others_xml(self) -> None:
        """The forms of others are read: monitors by host, and who reads it below the source."""
        text = written("rbd:vms/a")
        mine = '<source protocol="rbd" name="vms/a" />'
        self.assertIn(mine, text)
        theirs = """<source protocol="rbd" name="vms/web1_root"><host name="fd00::1" port="6789"/>
            <host name="ceph2"/><auth username="libvirt"><secret type="ceph" uuid="x"/></auth></source>"""
        [(path, _, _)] = from_xml(text.replace(mine, theirs)).disks
        self.assertEqual(path, r"rbd:vms/web1_root:id=libvirt:mon_host=[fd00\:\:1]\:6789,ceph2")
