"""A Debian cloud image from Debian's packages only: stock cloud-init, GRUB for BIOS and UEFI.

GPT: 14 BIOS boot, 15 EFI system partition, 1 root (ext4, last on the disk, grown by cloud-init at first boot). Network
through netplan and systemd-networkd as cloud-init renders it; data sources ConfigDrive, OpenStack, NoCloud. The user is
``debian``, with a key only, unless a root password is given.

mmdebstrap makes the tree, as root or in a user namespace; its hooks call this program again (``hook``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from disk import (
    BIOS_BOOT,
    EFI_SYSTEM,
    MIB,
    ROOT_X86_64,
    BuildError,
    Partition,
    apt_sources,
    copy_into,
    ext4,
    fat,
    install_grub_bios,
    installed_versions,
    log,
    make_disk,
    need,
    publish,
    put,
    run,
)

SUITE = "bookworm"
SIZE = 2048 * MIB
EFI_MIB, FIRST_MIB = 48, 4
PROGRAMS = {
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.fat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
}
PACKAGES = [
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub2-common",
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "dbus",
    "udev",
    "libpam-systemd",
    "netplan.io",
    "iproute2",
    "iputils-ping",
    "cloud-init",
    "cloud-guest-utils",
    "fdisk",
    "gdisk",
    "e2fsprogs",
    "openssh-server",
    "sudo",
    "qemu-guest-agent",
    "ca-certificates",
    "curl",
    "less",
    "procps",
    "kmod",
    "python3",
]

# Settings that must be there before packages are installed: the initramfs is then built once.
EARLY_FILES = {
    "etc/initramfs-tools/conf.d/cloud": "MODULES=list\nCOMPRESS=zstd\n",
    "etc/initramfs-tools/modules": "\n".join(
        [
            "virtio_pci",
            "virtio_blk",
            "virtio_scsi",
            "virtio_net",
            "virtio_console",
            "virtio_rng",
            "sd_mod",
            "sr_mod",
            "ata_piix",
            "nvme",
            "ext4",
            "crc32c_generic",
        ]
    )
    + "\n",
}
FILES = {
    "etc/fstab": """LABEL=cloudroot / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
LABEL=EFI /boot/efi vfat umask=0077,nofail 0 2
""",
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/default/grub.d/10-cloud.cfg": """GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8 earlyprintk=ttyS0,115200 consoleblank=0"
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_TERMINAL="console serial"
GRUB_DISABLE_OS_PROBER=true
""",
    "etc/cloud/cloud.cfg.d/90-datasources.cfg": """datasource_list: [ConfigDrive, OpenStack, NoCloud, None]
datasource:
  OpenStack: {max_wait: 30, timeout: 5, retries: 3}
""",
    # Without the package `locales` cloud-config fails unless locale is false.
    "etc/cloud/cloud.cfg.d/91-speed.cfg": """apt: {preserve_sources_list: true}
locale: false
manage_etc_hosts: true
package_update: false
package_upgrade: false
""",
    "etc/systemd/journald.conf.d/cloud.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=32M\n",
    # ssh comes up even when cloud-init found nothing or failed.
    "etc/systemd/system/ssh.service.d/keys.conf": "[Service]\nExecStartPre=/usr/bin/ssh-keygen -A\n",
}
# update-grub in the guest replaces it.
GRUB_CONFIG = """set timeout=0
search --no-floppy --label cloudroot --set=root
linux /boot/vmlinuz-{version} root=LABEL=cloudroot ro console=tty0 console=ttyS0,115200n8 consoleblank=0
initrd /boot/initrd.img-{version}
boot
"""
GRUB_EARLY = """search.fs_label cloudroot root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
GRUB_MODULES = [
    "part_gpt",
    "ext2",
    "search",
    "search_fs_uuid",
    "search_label",
    "configfile",
    "normal",
    "linux",
    "echo",
    "test",
]
# Jobs that would load a small guest at boot.
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer e2scrub_reap.service"
)


def inputs() -> str:
    return installed_versions(["mmdebstrap"]) + "\n".join(apt_sources(SUITE))


def build(out: Path, work: Path, packages: list[str], root_password: str) -> None:
    need(PROGRAMS)
    sources = apt_sources(SUITE)
    if not sources:
        raise BuildError(f"this host's apt has no source for {SUITE}: add one to /etc/apt/sources.list")
    root_mib = SIZE // MIB - FIRST_MIB - EFI_MIB - 1
    make_tree(work, packages, root_password, sources, root_mib)
    log("partitions and boot loaders")
    tree = work / "efi"
    (tree / "EFI/BOOT").mkdir(parents=True)
    shutil.copy(work / "BOOTX64.EFI", tree / "EFI/BOOT")
    fat(work / "efi.img", EFI_MIB * MIB, "EFI", tree)
    raw = work / "disk.raw"
    offsets = make_disk(
        raw,
        SIZE,
        [
            Partition(number=14, type=BIOS_BOOT, name="bios", start_mib=1, size_mib=FIRST_MIB - 1),
            Partition(number=15, type=EFI_SYSTEM, name="efi", start_mib=FIRST_MIB, size_mib=EFI_MIB),
            Partition(number=1, type=ROOT_X86_64, name="root", start_mib=FIRST_MIB + EFI_MIB, size_mib=root_mib),
        ],
    )
    copy_into(raw, work / "efi.img", offsets[15])
    copy_into(raw, work / "root.ext4", offsets[1])
    install_grub_bios(raw, (work / "boot.img").read_bytes(), (work / "core.img").read_bytes(), offsets[14])
    publish(raw, out)


def make_tree(work: Path, packages: list[str], root_password: str, sources: list[str], root_mib: int) -> None:
    work.chmod(0o777)  # mmdebstrap may run as another user
    program = Path(sys.argv[0]).resolve()
    call = f"'{sys.executable}' '{program}' --hook-{{}} \"$1\" '{work}' {root_mib}"
    log(f"mmdebstrap: {SUITE}, {len(PACKAGES) + len(packages)} packages and what they need")
    command = [
        *("mmdebstrap", "--quiet", "--mode=auto", "--variant=minbase", "--format=null"),
        f"--include={','.join(PACKAGES + packages)}",
        *("--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 3", "--dpkgopt=force-unsafe-io"),
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "info", "doc", "locale")),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        f"--setup-hook={call.format('setup')}",
        f"--customize-hook={call.format('customize')}",
        *(SUITE, "-", *sources),
    ]
    env = {**os.environ, "BUILD_ROOT_PASSWORD": root_password, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError("mmdebstrap failed\n" + "\n".join(done.stderr.splitlines()[-40:]))


# What mmdebstrap calls -------------------------------------------------------
def is_hook(arguments: list[str]) -> bool:
    return len(arguments) == 5 and arguments[1].startswith("--hook-")


def hook(arguments: list[str]) -> None:
    root, work = Path(arguments[2]), Path(arguments[3])
    if arguments[1] == "--hook-setup":
        for name, text in EARLY_FILES.items():
            put(root, name, 0o644, text)
    else:
        customize(root, work, int(arguments[4]) * MIB, os.environ.get("BUILD_ROOT_PASSWORD", ""))


def customize(root: Path, work: Path, size: int, root_password: str) -> None:
    """Make an image's tree of the installed one, take out the boot loaders, and write the root file system."""
    for name, text in FILES.items():
        put(root, name, 0o644, text)
    install_grub(root, work)
    if root_password:
        run("chroot", root, "chpasswd", input=f"root:{root_password}\n")
        put(root, "etc/ssh/sshd_config.d/10-test.conf", 0o600, "PermitRootLogin yes\nPasswordAuthentication yes\n")
        put(root, "etc/cloud/cloud.cfg.d/95-root.cfg", 0o644, "disable_root: false\nssh_pwauth: true\n")
    in_chroot(root, "systemctl", "enable", "systemd-networkd.service", "systemd-resolved.service", "ssh.service")
    for unit in MASKED.split():
        if (root / "lib/systemd/system" / unit).exists():
            in_chroot(root, "systemctl", "mask", unit)
    clean(root)
    write_root(root, work, size)


def in_chroot(root: Path, *words: str) -> None:
    run("chroot", root, *words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})


def install_grub(root: Path, work: Path) -> None:
    versions = sorted(path.name.removeprefix("vmlinuz-") for path in root.glob("boot/vmlinuz-*"))
    if not versions:
        raise BuildError("no kernel was installed")
    version = versions[-1]
    if not (root / f"boot/initrd.img-{version}").exists():
        in_chroot(root, "update-initramfs", "-c", "-k", version)
    put(root, "boot/grub/grub.cfg", 0o644, GRUB_CONFIG.format(version=version))
    put(root, "tmp/early.cfg", 0o644, GRUB_EARLY)
    for platform, out, extra in (
        ("i386-pc", "core.img", ["biosdisk"]),
        ("x86_64-efi", "BOOTX64.EFI", ["fat", "efi_gop", "all_video"]),
    ):
        in_chroot(
            root,
            *("grub-mkimage", "-O", platform, "-p", "/boot/grub", "-c", "/tmp/early.cfg", "-o", f"/tmp/{out}"),
            *extra,
            *GRUB_MODULES,
        )
        shutil.copytree(
            root / "usr/lib/grub" / platform,
            root / "boot/grub" / platform,
            ignore=shutil.ignore_patterns("*.image", "*.img", "kernel.exec"),
        )
        shutil.move(root / "tmp" / out, work / out)
    shutil.copy(root / "usr/lib/grub/i386-pc/boot.img", work)
    (root / "tmp/early.cfg").unlink()


def clean(root: Path) -> None:
    """An image, not a machine: no identity, no keys, no caches, no logs."""
    (root / "boot/efi").mkdir(exist_ok=True)
    put(root, "etc/machine-id", 0o444, "uninitialized\n")
    gone = [*root.glob("etc/ssh/ssh_host_*"), root / "var/lib/dbus/machine-id", root / "var/lib/systemd/random-seed"]
    gone += [root / "etc/resolv.conf", *(path for path in root.glob("var/log/**/*") if path.is_file())]
    for path in gone:
        path.unlink(missing_ok=True)
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    in_chroot(root, "apt-get", "clean")
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def write_root(root: Path, work: Path, size: int) -> None:
    tree = work / "tree"
    # mmdebstrap has these mounted while hooks run: the image gets empty folders.
    run("mkdir", "-m", "755", tree)
    run("cp", "-a", "--one-file-system", f"{root}/.", tree)
    for name in ("proc", "sys", "dev", "run"):
        shutil.rmtree(tree / name)
        (tree / name).mkdir(mode=0o755)
    log("writing the root file system")
    ext4(work / "root.ext4", size, "cloudroot", tree)
    shutil.rmtree(tree)
    (work / "root.ext4").chmod(0o644)
