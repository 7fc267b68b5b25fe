"""A server as libvirt's domain XML, and a guest as read back from it. Pure functions, no libvirt in here.

Reference: https://libvirt.org/formatdomain.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from wolke.drivers.hypervisor import DriverError
from wolke.wire import wanted

NAMESPACE = "https://wolke.dev/guest/1"
GUEST = f"{{{NAMESPACE}}}guest"
SPARE_ROOT_PORTS = 8  # each takes one device that is plugged while the guest runs
DISK_BUSES = {"virtio": "vda", "scsi": "sda", "sata": "sda", "usb": "sda"}
VIF_MODELS = {"virtio": "virtio", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139", "vmxnet3": "vmxnet3"}
VIDEO_MODELS = {"virtio": "virtio", "vga": "vga", "cirrus": "cirrus", "bochs": "bochs", "none": "none"}
OFFLOADS_OFF = {
    "host": dict.fromkeys(("csum", "gso", "tso4", "tso6", "ecn", "ufo", "mrg_rxbuf"), "off"),
    "guest": dict.fromkeys(("csum", "tso4", "tso6", "ecn", "ufo"), "off"),
}

ET.register_namespace("wolke", NAMESPACE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What the host decides for all its guests."""

    kvm: bool
    machine: str  # versioned, such as pc-q35-7.2
    bridge: str
    checksum_offload: bool  # False for a userspace datapath: it does not finish partial checksums
    cache: str  # none | writeback, of disks
    console: Path


def domain(server: wanted.Server, root: Path, config_drive: Path | None, host: Host) -> str:
    """The whole definition; ``hints`` with values that we do not know are refused.

    Raises
    ------
    DriverError: names the image property and its value
    """
    hints = server.hints
    top = ET.Element("domain", type="kvm" if host.kvm else "qemu")
    _text(top, "name", f"wolke-{server.id}")
    _text(top, "uuid", server.id)
    _text(top, "title", "".join(letter for letter in server.name if letter.isprintable()) or server.id)
    metadata = ET.SubElement(top, "metadata")
    ET.SubElement(metadata, GUEST, boot=str(server.boot), revision=str(server.revision), started="0")
    _text(top, "memory", str(server.ram_mib), unit="MiB")
    _text(top, "vcpu", str(server.vcpus))
    sysinfo = ET.SubElement(top, "sysinfo", type="smbios")
    system = ET.SubElement(sysinfo, "system")
    for name, value in {
        "manufacturer": "Wolke",
        "product": "OpenStack Compute",  # cloud-init asks the metadata service only when it reads this
        "serial": server.id,
        "uuid": server.id,
        "family": "Virtual Machine",
    }.items():
        _text(system, "entry", value, name=name)
    q35 = "q35" in host.machine
    _firmware(top, hints, host.machine)
    features = ET.SubElement(top, "features")
    for name in ("acpi", "apic"):
        ET.SubElement(features, name)
    ET.SubElement(features, "vmport", state="off")
    if hints.get("os_secure_boot") == "required":
        ET.SubElement(features, "smm", state="on")
    _cpu(top, server, host)
    _text(top, "on_poweroff", "destroy")
    _text(top, "on_reboot", "restart")
    _text(top, "on_crash", "destroy")
    devices = ET.SubElement(top, "devices")
    if q35:
        ET.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
        # Disks, the devices below and NICs sit on a port each; what remains is free for hot-plug.
        for number in range(1, 8 + len(server.nics) + SPARE_ROOT_PORTS + 1):
            ET.SubElement(devices, "controller", type="pci", index=str(number), model="pcie-root-port")
    _disks(devices, server, root, config_drive, host, cdrom_bus="sata" if q35 else "ide")
    for nic in server.nics:
        devices.append(interface(nic, hints, host))
    _small_devices(devices, hints, host)
    return ET.tostring(top, encoding="unicode")


def _firmware(top: ET.Element, hints: Mapping[str, str], machine: str) -> None:
    firmware = _one_of(hints, "hw_firmware_type", {"bios": "bios", "uefi": "uefi"}, "bios")
    os = ET.SubElement(top, "os", {"firmware": "efi"} if firmware == "uefi" else {})
    _text(os, "type", "hvm", arch="x86_64", machine=machine)
    if firmware == "uefi":
        secure = "yes" if hints.get("os_secure_boot") == "required" else "no"
        choice = ET.SubElement(os, "firmware")
        ET.SubElement(choice, "feature", enabled=secure, name="secure-boot")
        ET.SubElement(choice, "feature", enabled=secure, name="enrolled-keys")
    ET.SubElement(os, "smbios", mode="sysinfo")


def _cpu(top: ET.Element, server: wanted.Server, host: Host) -> None:
    if host.kvm:
        cpu = ET.SubElement(top, "cpu", mode="host-passthrough", check="none", migratable="on")
    else:
        cpu = ET.SubElement(top, "cpu", mode="maximum", check="none")
        ET.SubElement(cpu, "feature", policy="disable", name="la57")  # a fifth page table level only costs time
    # One socket: some systems are licensed or limited by sockets.
    ET.SubElement(cpu, "topology", sockets="1", cores=str(server.vcpus), threads="1")
    clock = ET.SubElement(top, "clock", offset="utc")
    ET.SubElement(clock, "timer", name="hpet", present="no")
    if host.kvm:
        ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
        ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")


def _disks(
    devices: ET.Element, server: wanted.Server, root: Path, config_drive: Path | None, host: Host, *, cdrom_bus: str
) -> None:
    bus = _one_of(server.hints, "hw_disk_bus", {name: name for name in DISK_BUSES}, "virtio")
    if bus == "scsi":
        ET.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2", cache=host.cache, discard="unmap")
    ET.SubElement(disk, "source", file=str(root))
    ET.SubElement(disk, "target", dev=DISK_BUSES[bus], bus=bus)
    _text(disk, "serial", server.id[:20])
    ET.SubElement(disk, "boot", order="1")
    if config_drive is None:
        return
    # Debian's cloud kernel has no ahci: a CD-ROM on q35 would be invisible to it. Guests without virtio get a CD-ROM.
    virtio = bus in ("virtio", "scsi")
    drive = ET.SubElement(devices, "disk", type="file", device="disk" if virtio else "cdrom")
    ET.SubElement(drive, "driver", name="qemu", type="raw")
    ET.SubElement(drive, "source", file=str(config_drive))
    if virtio:
        ET.SubElement(drive, "target", dev="vdz", bus="virtio")
    else:
        ET.SubElement(drive, "target", dev="hdd" if cdrom_bus == "ide" else "sdz", bus=cdrom_bus)
    ET.SubElement(drive, "readonly")


def _small_devices(devices: ET.Element, hints: Mapping[str, str], host: Host) -> None:
    """Consoles, screen, entropy, memory balloon, guest agent, panic notifier."""
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "log", file=str(host.console), append="on")
    ET.SubElement(serial, "target", port="0")
    if hints.get("hw_qemu_guest_agent", "yes").lower() in ("yes", "true", "1", "on"):
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "controller", type="usb", model="qemu-xhci")
    ET.SubElement(devices, "input", type="tablet", bus="usb")
    graphics = ET.SubElement(devices, "graphics", type="vnc")
    ET.SubElement(graphics, "listen", type="socket")
    video = ET.SubElement(devices, "video")
    ET.SubElement(video, "model", type=_one_of(hints, "hw_video_model", VIDEO_MODELS, "vga"))
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period="10")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(devices, "panic", model="isa")


def device_name(port_id: str) -> str:
    """The tap device of a port; a device's name has at most 15 characters."""
    return f"tap{port_id[:11]}"


def interface(nic: wanted.Nic, hints: Mapping[str, str], host: Host) -> ET.Element:
    """One NIC on the integration bridge; the port's id is the interface's ``iface-id``."""
    model = _one_of(hints, "hw_vif_model", VIF_MODELS, "virtio")
    top = ET.Element("interface", type="bridge")
    ET.SubElement(top, "mac", address=nic.mac)
    ET.SubElement(top, "source", bridge=host.bridge)
    port = ET.SubElement(top, "virtualport", type="openvswitch")
    ET.SubElement(port, "parameters", interfaceid=nic.port_id)
    ET.SubElement(top, "target", dev=device_name(nic.port_id))
    ET.SubElement(top, "model", type=model)
    if model == "virtio":
        # vhost would be offered partial checksums by the kernel; QEMU's own backend does as it is told here.
        driver = ET.SubElement(top, "driver", name="vhost" if host.kvm and host.checksum_offload else "qemu")
        if not host.checksum_offload:
            for side, switches in OFFLOADS_OFF.items():
                ET.SubElement(driver, side, switches)
    ET.SubElement(top, "mtu", size=str(nic.mtu))
    ET.SubElement(top, "alias", name=f"ua-{nic.port_id}")
    return top


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What we wrote into a guest."""

    boot: int
    revision: int
    started_at: float


def mark(xml: ET.Element) -> Mark | None:
    """Our mark in a definition, or None: not our guest."""
    found = xml.find(f"metadata/{GUEST}")
    if found is None:
        return None
    return Mark(
        boot=int(found.get("boot", "0")),
        revision=int(found.get("revision", "0")),
        started_at=float(found.get("started", "0")),
    )


def interfaces(xml: ET.Element) -> dict[str, ET.Element]:
    """Port id -> its ``<interface>``, in the order of the definition."""
    found = {}
    for element in xml.findall("devices/interface"):
        parameters = element.find("virtualport/parameters")
        if parameters is not None and (port_id := parameters.get("interfaceid")):
            found[port_id] = element
    return found


def machine(xml: ET.Element) -> str:
    kind = xml.find("os/type")
    return kind.get("machine", "") if kind is not None else ""


def vif_hints(xml: ET.Element) -> dict[str, str]:
    """The NIC model a guest was defined with, for NICs that come later."""
    model = xml.find("devices/interface/model")
    kind = model.get("type", "virtio") if model is not None else "virtio"
    return {"hw_vif_model": kind}


def vnc_socket(xml: ET.Element) -> str:
    for path in ("devices/graphics/listen", "devices/graphics"):
        found = xml.find(path)
        if found is not None and (socket := found.get("socket")):
            return socket
    return ""


def _text(parent: ET.Element, tag: str, text: str, /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _one_of(hints: Mapping[str, str], name: str, known: Mapping[str, str], default: str) -> str:
    value = hints.get(name, default).lower()
    if value not in known:
        raise DriverError(f"The value {value!r} of {name} is not supported; it can be {', '.join(sorted(known))}.")
    return known[value]
