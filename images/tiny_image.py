"""The tiny image: Debian's cloud kernel, busybox and dropbear; built in seconds, boots in seconds even under TCG.

It boots by BIOS (syslinux) and UEFI (systemd-boot). GPT: 15 EFI system partition, 1 root (ext4, last on the disk, grows
at boot). In the guest: DHCP on every card (classless routes, MTU), IPv6 by router advertisement; config drive,
NoCloud disk or metadata service; keys for root and tiny, host name, password, user data that begins with ``#!``;
power button; serial console. It is an image for tests and demos: its console password is tiny.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from disk import (
    EFI_SYSTEM,
    MIB,
    ROOT_X86_64,
    BuildError,
    Partition,
    copy_into,
    ext4,
    fat,
    installed_versions,
    log,
    make_disk,
    need,
    publish,
    put,
    run,
    write_at,
)

FILES = Path(__file__).with_name("tiny")
PROGRAMS = {
    "busybox": "busybox-static",
    "depmod": "kmod",
    "dropbear": "dropbear-bin",
    "ldd": "libc-bin",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.fat": "dosfstools",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "syslinux": "syslinux",
}
BOOT_RECORD = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
SYSTEMD_BOOT = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
BOOT_FILES = {str(BOOT_RECORD): "syslinux-common", str(SYSTEMD_BOOT): "systemd-boot-efi"}
KERNEL_PACKAGE = "linux-image-cloud-amd64"

SIZE = 112 * MIB
EFI_MIB = 24
COMMAND_LINE = "root=LABEL=tinyroot ro quiet console=tty0 console=ttyS0,115200n8"
# In the initramfs: enough to find the root disk.
BOOT_MODULES = ["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ata_piix", "nvme"]
# Loaded at boot.
LATE_MODULES = [
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "virtio_balloon",
    "button",
    "evdev",
    "sr_mod",
    "isofs",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "nls_iso8859_1",
]
# Only present, for what a test may try inside a guest.
EXTRA_MODULES = [
    "8021q",
    "bridge",
    "veth",
    "vxlan",
    "nfsv4",
    "fuse",
    "virtiofs",
    "overlay",
    "loop",
    "nf_tables",
    "nf_conntrack",
    "tun",
    "bonding",
]
BINARIES = ["dropbear", "dropbearkey", "dbclient", "sfdisk", "partx", "resize2fs", "mke2fs"]
TEXTS = {
    "etc/inittab": """::sysinit:/etc/init.d/rcS
ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100
tty1::respawn:/bin/getty 38400 tty1 linux
::ctrlaltdel:/bin/reboot
::shutdown:/bin/sync
::shutdown:/bin/umount -a -r
""",
    "etc/passwd": """root:x:0:0:root:/root:/bin/sh
tiny:x:1000:1000::/home/tiny:/bin/sh
nobody:x:65534:65534::/:/bin/false
""",
    "etc/group": "root:x:0:\ntty:x:5:\ntiny:x:1000:\nnogroup:x:65534:\n",
    "etc/hostname": "tiny\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/issue.net": "",
    "etc/shells": "/bin/sh\n",
    "etc/profile": "export PATH=/sbin:/bin:/usr/sbin:/usr/bin\n",
    "etc/modules": "\n".join(BOOT_MODULES + LATE_MODULES) + "\n",
    "etc/os-release": 'NAME="tiny"\nID=tiny\nPRETTY_NAME="tiny test image"\n',
}
INSTALLED = {
    "rcS": "etc/init.d/rcS",
    "cloud-lite": "sbin/cloud-lite",
    "netup": "sbin/netup",
    "by-serial": "sbin/by-serial",
    "udhcpc.sh": "usr/share/udhcpc.sh",
    "json.awk": "usr/share/json.awk",
}


def inputs() -> str:
    """Everything the image is made of, as a text that changes when the image would."""
    return installed_versions([*PROGRAMS.values(), *BOOT_FILES.values(), KERNEL_PACKAGE])


def build(out: Path, work: Path) -> None:
    need(PROGRAMS, BOOT_FILES)
    kernel, modules_folder = find_kernel(work)
    modules = Modules(modules_folder)
    log(f"kernel {modules_folder.name}")
    root = work / "root"
    root.mkdir()
    fill_root(root, modules)
    make_initramfs(work, modules)
    root_mib = SIZE // MIB - EFI_MIB - 2
    ext4(work / "root.ext4", root_mib * MIB, "tinyroot", root)
    own(work, root)
    make_efi(work, kernel)
    raw = work / "disk.raw"
    offsets = make_disk(
        raw,
        SIZE,
        [
            Partition(
                number=15, type=EFI_SYSTEM, name="efi", start_mib=1, size_mib=EFI_MIB, attributes="LegacyBIOSBootable"
            ),
            Partition(number=1, type=ROOT_X86_64, name="root", start_mib=1 + EFI_MIB, size_mib=root_mib),
        ],
    )
    # The FAT must know its place on the disk for syslinux' boot sector.
    write_at(work / "efi.img", 0x1C, (offsets[15] // 512).to_bytes(4, "little"))
    run("syslinux", "--install", work / "efi.img")
    copy_into(raw, work / "efi.img", offsets[15])
    copy_into(raw, work / "root.ext4", offsets[1])
    write_at(raw, 0, BOOT_RECORD.read_bytes()[:440])
    publish(raw, out)


def find_kernel(work: Path) -> tuple[Path, Path]:
    """The newest cloud kernel and its modules: installed here, else unpacked from the package that apt brings."""
    if found := newest_kernel(Path("/")):
        return found
    log("no cloud kernel is installed: fetching the package")
    match = re.search(r"Depends: (linux-image-\S+-cloud-amd64\S*)", run("apt-cache", "depends", KERNEL_PACKAGE))
    if match is None:
        raise BuildError(f"apt knows no {KERNEL_PACKAGE}: run apt-get update")
    # Root's downloads are done by a user that may not write to a private folder.
    run("apt-get", "-o", "APT::Sandbox::User=root", "download", match.group(1), cwd=work)
    [package] = work.glob("linux-image-*.deb")
    run("dpkg-deb", "-x", package, work / "kernel")
    found = newest_kernel(work / "kernel")
    if found is None:
        raise BuildError(f"{package.name} holds no kernel")
    run("depmod", "-b", work / "kernel", found[1].name)
    return found


def newest_kernel(root: Path) -> tuple[Path, Path] | None:
    found = []
    for kernel in root.glob("boot/vmlinuz-*-cloud-amd64"):
        modules = root / "lib/modules" / kernel.name.removeprefix("vmlinuz-")
        if (modules / "kernel").is_dir() and os.access(kernel, os.R_OK):
            found.append(([int(number) for number in re.findall(r"\d+", kernel.name)], kernel, modules))
    return max(found)[1:] if found else None


class Modules:
    """A kernel's modules and what each needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[str]] = {}  # name -> its file and those it needs
        for line in (folder / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            self.files[self.name(path)] = [path, *needs.split()]
        self.builtin = {self.name(path) for path in (folder / "modules.builtin").read_text().split()}

    @staticmethod
    def name(path: str) -> str:
        return re.sub(r"\.ko(\.\w+)?$", "", Path(path).name).replace("-", "_")

    def install(self, names: list[str], root: Path) -> None:
        if absent := [name for name in names if name not in self.files and name not in self.builtin]:
            log(f"this kernel has no {' '.join(absent)}")
        base = root / "lib/modules" / self.folder.name
        for path in {path for name in names for path in self.files.get(name, [])}:
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / path, base / path)
        for extra in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
            if (self.folder / extra).exists():
                shutil.copy(self.folder / extra, base)
        run("depmod", "-b", root, self.folder.name)


def fill_root(root: Path, modules: Modules) -> None:
    for folder in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "mnt",
        "root",
        "home/tiny",
        "etc/dropbear",
        "var/log",
        "var/lib/cloud-lite",
        "lib64",
        "sbin",
        "usr/share",
        "lib/x86_64-linux-gnu",
    ]:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for link, target in {"var/run": "../run", "usr/sbin": "../sbin", "usr/bin": "../bin"}.items():
        (root / link).symlink_to(target)
    install_busybox(root)
    for name in BINARIES:
        install_binary(name, root)
    # The kernel loads modules through /sbin/modprobe.
    for link, target in {
        "mkfs.ext4": "mke2fs",
        "ssh": "dbclient",
        "init": "../bin/busybox",
        "modprobe": "../bin/busybox",
    }.items():
        (root / "sbin" / link).symlink_to(target)
    for name, place in INSTALLED.items():
        put(root, place, 0o755, (FILES / name).read_text())
    for name, text in TEXTS.items():
        put(root, name, 0o644, text)
    password = run("busybox", "mkpasswd", "-m", "sha512", "tiny").strip()
    put(root, "etc/shadow", 0o640, f"root:{password}:19000::::::\ntiny:{password}:19000::::::\n")
    put(root, "etc/acpi/PWRF/00000080", 0o755, "#!/bin/sh\n/bin/poweroff\n")
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)
    modules.install(BOOT_MODULES + LATE_MODULES + EXTRA_MODULES, root)


def install_busybox(root: Path) -> None:
    program = shutil.which("busybox", path="/usr/bin:/bin")
    if program is None or "GNU/Linux" in run_ldd(program):
        raise BuildError("busybox is not static: apt-get install busybox-static")
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(program, root / "bin/busybox")
    for applet in run(program, "--list").split():
        # Real programs lie in /sbin, which comes first in PATH.
        if applet not in ("busybox", "mke2fs"):
            (root / "bin" / applet).symlink_to("busybox")


def run_ldd(program: str) -> str:
    return subprocess.run(["ldd", program], text=True, capture_output=True, check=False).stdout


def install_binary(name: str, root: Path) -> None:
    program = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        raise BuildError(f"the program {name} is missing")
    copies = {Path(program): root / "sbin" / name}
    for library in re.findall(r"(/\S+) \(0x", run_ldd(program)):
        place = library.lstrip("/") if library.startswith("/lib64") else f"lib/x86_64-linux-gnu/{Path(library).name}"
        copies[Path(library)] = root / place
    for source, target in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.resolve(), target)
        target.chmod(0o755)


def make_initramfs(work: Path, modules: Modules) -> None:
    """The few files that find the root disk and go there."""
    tree = work / "initramfs"
    for folder in ("proc", "sys", "dev", "root"):
        (tree / folder).mkdir(parents=True)
    install_busybox(tree)
    put(tree, "init", 0o755, (FILES / "initrd-init").read_text())
    put(tree, "modules", 0o644, "\n".join(BOOT_MODULES) + "\n")
    modules.install(BOOT_MODULES, tree)
    with gzip.GzipFile(work / "initrd", "wb", compresslevel=9, mtime=0) as out:
        out.write(cpio(tree))


def cpio(tree: Path) -> bytes:
    """The tree as an archive in the kernel's format (newc), everything owned by root, with /dev/console."""
    entries: list[tuple[str, int, bytes, tuple[int, int]]] = []
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink():
            content = str(path.readlink()).encode()
        else:
            content = path.read_bytes() if path.is_file() else b""
        entries.append((str(path.relative_to(tree)), mode, content, (0, 0)))
    entries.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    entries.append(("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3)))
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    out = bytearray()
    for inode, (name, mode, content, device) in enumerate(entries, start=1):
        place = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        numbers = (inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(place), 0)
        head = b"070701" + "".join(f"{number:08x}" for number in numbers).encode() + place
        for part in (head, content):
            out += part + bytes(-len(part) % 4)
    return bytes(out)


def own(work: Path, root: Path) -> None:
    """Root owns all but tiny's home, whoever builds."""
    names = ["/", *(f"/{path.relative_to(root)}" for path in root.rglob("*"))] if os.geteuid() else []
    lines = [f"sif {name} {field} 0" for name in names for field in ("uid", "gid")]
    lines += [f"sif /home/tiny {field} 1000" for field in ("uid", "gid")]
    put(work, "owners", 0o600, "\n".join(lines) + "\n")
    run("debugfs", "-w", "-f", work / "owners", work / "root.ext4")


def make_efi(work: Path, kernel: Path) -> None:
    tree = work / "efi"
    (tree / "EFI/BOOT").mkdir(parents=True)
    shutil.copy(kernel, tree / "vmlinuz")
    shutil.copy(work / "initrd", tree / "initrd")
    shutil.copy(SYSTEMD_BOOT, tree / "EFI/BOOT/BOOTX64.EFI")
    put(tree, "loader/loader.conf", 0o644, "default tiny\ntimeout 0\neditor no\n")
    put(
        tree,
        "loader/entries/tiny.conf",
        0o644,
        f"title tiny\nlinux /vmlinuz\ninitrd /initrd\noptions {COMMAND_LINE}\n",
    )
    put(
        tree,
        "syslinux.cfg",
        0o644,
        f"DEFAULT tiny\nPROMPT 0\nTIMEOUT 1\nLABEL tiny\n  LINUX /vmlinuz\n  INITRD /initrd\n  APPEND {COMMAND_LINE}\n",
    )
    fat(work / "efi.img", EFI_MIB * MIB, "TINYESP", tree)
