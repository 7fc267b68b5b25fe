"""Guests through libvirt and QEMU.

``domain``      a server as libvirt's XML, and what we read back from it
``connection``  one connection to libvirtd that survives libvirtd
``kvm``         does KVM truly run a guest here
``driver``      the ``Hypervisor``

Reference: https://libvirt.org/formatdomain.html, https://libvirt.org/html/libvirt-libvirt-domain.html
"""

from wolke.drivers.libvirt.driver import Libvirt

__all__ = ["Libvirt"]
