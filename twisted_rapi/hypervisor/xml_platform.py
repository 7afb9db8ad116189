"""The machine itself in domain XML: processors, memory, firmware, what runs it; pure."""

import re
import shlex
from typing import Any
from xml.etree import ElementTree as ET

from twisted_rapi.hypervisor.xml_base import (
    DomainKind,
    Read,
    add_text,
    attribute,
    choice,
    extend_command,
    failed,
    found_only,
    inverse,
)
from twisted_rapi.model.machine_xml import BOOT
from twisted_rapi.model.steps import DomainSpec

USUAL_EMULATOR = "/usr/bin/kvm"  # what libvirt finds by itself
_CPUS = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", re.ASCII)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_CONSOLE = re.compile(r"(?P<rest>.*?) ?console=ttyS0(,(?P<speed>[0-9]+))?", re.DOTALL)


def kind_of(hv: dict[str, Any], kind: DomainKind) -> DomainKind:
    """
    What runs the guest, where `kind` is what this node can.

    :raises StepFailed: ``kvm_flag`` asks for more.
    """
    if hv.get("kvm_flag") == "enabled" and kind != "kvm":
        raise failed("kvm_flag asks for KVM, and KVM cannot run guests on this node")
    return "qemu" if hv.get("kvm_flag") == "disabled" else kind


def write_platform(root: ET.Element, domain: DomainSpec, kind: DomainKind) -> None:
    """
    Everything but devices.

    :raises StepFailed: it cannot be expressed.
    """
    hv = domain.hvparams
    _memory(root, domain)
    _processors(root, domain)
    _model(root, hv, kind)
    _boot(root, hv)
    if hv.get("acpi", True):
        ET.SubElement(ET.SubElement(root, "features"), "acpi")
    ET.SubElement(root, "clock", offset="localtime" if hv.get("use_localtime") else "utc")
    add_text(root, "on_poweroff", "destroy")
    reboots = hv.get("reboot_behavior", "reboot") == "reboot"
    add_text(root, "on_reboot", "restart" if reboots else "destroy")
    add_text(root, "on_crash", "destroy")
    _security(root, hv)


def _memory(root: ET.Element, domain: DomainSpec) -> None:
    maximum = int(domain.beparams.get("maxmem", domain.memory))
    add_text(root, "memory", str(max(maximum, domain.memory)), unit="MiB")
    add_text(root, "currentMemory", str(domain.memory), unit="MiB")
    if domain.hvparams.get("mem_path"):
        ET.SubElement(ET.SubElement(root, "memoryBacking"), "hugepages")


def _processors(root: ET.Element, domain: DomainSpec) -> None:
    places = _topology(domain)
    maximum = places[0] * places[1] * places[2] if places else domain.vcpus
    node = add_text(root, "vcpu", str(maximum))
    if maximum != domain.vcpus:
        node.set("current", str(domain.vcpus))
    if places:
        names = ("sockets", "cores", "threads")
        there = dict(zip(names, map(str, places), strict=True))
        ET.SubElement(ET.SubElement(root, "cpu"), "topology", there)
    _pinning(root, node, domain)


def _topology(domain: DomainSpec) -> tuple[int, int, int] | None:
    """
    Sockets, cores and threads; ``None`` when nothing is said.

    What is left open becomes large enough for all processors, cores first; processors that are more are
    there to be switched on.
    """
    given = [int(domain.hvparams.get(f"cpu_{name}") or 0) for name in ("sockets", "cores", "threads")]
    if not any(given):
        return None
    if min(given) < 0:
        raise failed("cpu_sockets, cpu_cores and cpu_threads cannot be negative")
    sockets, cores, threads = given
    fixed = (sockets or 1) * (cores or 1) * (threads or 1)
    more = -(-domain.vcpus // fixed)
    if not cores:
        cores, more = more, 1
    if not sockets:
        sockets, more = more, 1
    if not threads:
        threads, more = more, 1
    if more > 1:
        raise failed(f"{domain.vcpus} processors do not fit in {fixed} by sockets, cores and threads")
    return sockets, cores, threads


def _pinning(root: ET.Element, node: ET.Element, domain: DomainSpec) -> None:
    """``all``, one mask for the machine, or one for each processor with ``:`` between them."""
    text = domain.hvparams.get("cpu_mask") or "all"
    masks = text.split(":")
    for mask in masks:
        if mask != "all" and not _CPUS.fullmatch(mask):
            raise failed(f"cpu_mask {text!r} is no list of processors")
    if len(masks) == 1:
        if text != "all":
            node.set("cpuset", text)
        return
    if len(masks) != domain.vcpus:
        raise failed(f"cpu_mask {text!r} is for {len(masks)} processors, the machine has {domain.vcpus}")
    tune = ET.SubElement(root, "cputune")
    for n, mask in enumerate(masks):
        if mask != "all":
            ET.SubElement(tune, "vcpupin", vcpu=str(n), cpuset=mask)


def _model(root: ET.Element, hv: dict[str, Any], kind: DomainKind) -> None:
    """``cpu_type``: a model, ``host`` or ``max``, and features: ``,+x``, ``,-x``, ``,x=on``."""
    text = hv.get("cpu_type") or ""
    if not text:
        return
    model, *features = text.split(",")
    cpu = root.find("cpu")
    cpu = ET.SubElement(root, "cpu") if cpu is None else cpu
    if model in ("host", "max"):
        passed = model == "host" and kind == "kvm"  # without KVM there is no host to pass through
        cpu.set("mode", "host-passthrough" if passed else "maximum")
    else:
        cpu.set("mode", "custom")
        cpu.set("match", "exact")
        add_text(cpu, "model", model, fallback="allow")
    for feature in features:
        ET.SubElement(cpu, "feature", _feature(feature))


def _feature(text: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not equals and name[:1] in ("+", "-"):
        return {"policy": "require" if name[0] == "+" else "disable", "name": name[1:]}
    if value in ("on", "off"):
        return {"policy": "require" if value == "on" else "disable", "name": name}
    raise failed(f"cpu_type: {text!r} is not supported; features are +NAME, -NAME, NAME=on, NAME=off")


def _boot(root: ET.Element, hv: dict[str, Any]) -> None:
    os_ = ET.SubElement(root, "os")
    kind = add_text(os_, "type", "hvm", arch="x86_64")
    if hv.get("machine_version"):
        kind.set("machine", hv["machine_version"])
    if not hv.get("kernel_path"):
        ET.SubElement(os_, "boot", dev=choice(BOOT, "boot_order", hv.get("boot_order") or "disk"))
        return
    add_text(os_, "kernel", hv["kernel_path"])
    if hv.get("initrd_path"):
        add_text(os_, "initrd", hv["initrd_path"])
    words = [f"root={hv['root_path']}"] if hv.get("root_path") else []
    words += [hv["kernel_args"]] if hv.get("kernel_args") else []
    if hv.get("serial_console", True):
        speed = hv.get("serial_speed")
        words.append(f"console=ttyS0,{speed}" if speed else "console=ttyS0")
    add_text(os_, "cmdline", " ".join(words))


def _security(root: ET.Element, hv: dict[str, Any]) -> None:
    if hv.get("security_model") != "user":
        return
    user = hv.get("security_domain") or ""
    if not _USER.fullmatch(user):
        raise failed(f"security_model user needs the name of a user in security_domain, not {user!r}")
    label = ET.SubElement(root, "seclabel", type="static", model="dac", relabel="yes")
    add_text(label, "label", f"{user}:{user}")


def write_command(root: ET.Element, hv: dict[str, Any]) -> None:
    """
    What QEMU is told beyond what libvirt knows.

    :raises StepFailed: it cannot be split into arguments.
    """
    try:
        arguments = shlex.split(hv.get("kvm_extra") or "")
    except ValueError as e:
        raise failed(f"kvm_extra: {e}") from e
    extend_command(root, *arguments)


# Reading.


def read_platform(root: ET.Element) -> Read:
    """The parameters the machine was made with."""
    values: Read = {
        "machine_version": attribute(root.find("os/type"), "machine"),
        "mem_path": "hugepages" if root.find("memoryBacking/hugepages") is not None else "",
        "use_localtime": attribute(root.find("clock"), "offset") == "localtime",
        "reboot_behavior": "exit" if root.findtext("on_reboot") == "destroy" else "",
        "cpu_mask": _read_pinning(root),
        "cpu_type": _read_model(root.find("cpu")),
        **{f"cpu_{n}": int(attribute(root.find("cpu/topology"), n) or 0) for n in _PLACES},
        **_read_boot(root),
    }
    label = root.findtext("seclabel[@model='dac']/label", "")
    if label:
        values.update(security_model="user", security_domain=label.partition(":")[0])
    emulator = root.findtext("devices/emulator", "")
    values["kvm_path"] = "" if emulator == USUAL_EMULATOR else emulator
    read = found_only(values)
    return read if root.find("features/acpi") is not None else {**read, "acpi": False}


_PLACES = ("sockets", "cores", "threads")


def _read_pinning(root: ET.Element) -> str:
    node = root.find("vcpu")
    if attribute(node, "cpuset"):
        return attribute(node, "cpuset")
    pins = {int(attribute(pin, "vcpu")): attribute(pin, "cpuset") for pin in root.findall("cputune/vcpupin")}
    if not pins:
        return ""
    count = int(attribute(node, "current") or root.findtext("vcpu", "1"))
    return ":".join(pins.get(n, "all") for n in range(count))


def _read_model(cpu: ET.Element | None) -> str:
    if cpu is None or not cpu.get("mode"):
        return ""
    names = {"host-passthrough": "host", "maximum": "max"}
    model = names.get(cpu.get("mode", ""), cpu.findtext("model", ""))
    signs = {"disable": "-", "forbid": "-"}
    features = [signs.get(f.get("policy", ""), "+") + f.get("name", "") for f in cpu.findall("feature")]
    return ",".join([model, *features])


def _read_boot(root: ET.Element) -> Read:
    os_ = root.find("os")
    if os_ is None:
        return {}
    order = inverse(BOOT, attribute(os_.find("boot"), "dev"))
    values: Read = {
        "boot_order": "" if order == "disk" else order,
        "kernel_path": os_.findtext("kernel", ""),
        "initrd_path": os_.findtext("initrd", ""),
    }
    words = os_.findtext("cmdline", "") or ""
    if match := _CONSOLE.fullmatch(words):
        words = match["rest"]
        values["serial_speed"] = int(match["speed"] or 0)
    first, _, rest = words.partition(" ")
    if first.startswith("root="):
        values["root_path"], words = first.removeprefix("root="), rest
    return {**values, "kernel_args": words}
