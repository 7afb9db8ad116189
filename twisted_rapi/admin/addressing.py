"""``rapi-admin api-certificate``, and the floating address of a cluster that is founded."""

import json
import time
from ipaddress import ip_interface
from pathlib import Path

from twisted_rapi.admin.certifying import certify_api
from twisted_rapi.admin.parts import CONFIG, Command, say_out
from twisted_rapi.config import AddressSection, check_address_section, load
from twisted_rapi.errors import ConfigurationError


def address_settings(floating: str, interface: str) -> tuple[str, str]:
    """
    The section of rapi.toml about the floating address, and the address alone; both empty for none.

    :raises ConfigurationError: it is no address, or an interface is named without one.
    """
    if not floating:
        if interface:
            raise ConfigurationError("--interface is for a floating address; name that by --floating")
        return "", ""
    mode = "own" if interface else "follow"
    section = AddressSection(mode="own" if interface else "follow", ip=floating, interface=interface)
    check_address_section(section, "--floating")
    lines = ["", "[address]", f"mode = {json.dumps(mode)}", f"ip = {json.dumps(floating)}"]
    lines.append(f"interface = {json.dumps(interface)}")
    return "\n".join(lines) + "\n", str(ip_interface(floating).ip)


class ApiCertificate(Command):
    """``api-certificate``."""

    longdesc = (
        "Issue this candidate a new certificate for its API: for the cluster's name, the floating address"
    )
    longdesc += " and this node's name and addresses.  The authority's key (ca.key) has to be here."
    optParameters = [
        ["config", "c", f"{CONFIG}/rapi.toml", "The master's configuration."],
        ["address", None, "", "Addresses of this node, separated by commas."],
    ]

    def run(self) -> int:
        """Do it."""
        self.need("address")
        config = load(Path(self["config"]))
        given = [address.strip() for address in self["address"].split(",") if address.strip()]
        hosts = certify_api(config, given, time.time())
        say_out(f"{config.api.certificate} is good for {', '.join(hosts)}.")
        say_out("Next: restart rapi.")
        return 0
