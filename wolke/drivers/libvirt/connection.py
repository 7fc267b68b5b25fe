"""One connection to libvirtd that is opened again whenever libvirtd went away.

Guests do not depend on it: QEMU processes outlive libvirtd, and a libvirtd that starts finds them again.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from wolke.drivers.hypervisor import DriverError, Unreachable, WrongState

T = TypeVar("T")
DEBIAN_MODULES = "/usr/lib/python3/dist-packages"
KEEPALIVE_SECONDS = 5
KEEPALIVE_MISSED = 3


def load() -> ModuleType:
    """The libvirt bindings: this environment's, else Debian's.

    Raises
    ------
    DriverError: neither is there, or Debian's were built for another Python
    """
    try:
        return importlib.import_module("libvirt")
    except ModuleNotFoundError as missing:
        # Two modules are taken from Debian's folder. The folder itself stays off sys.path: it would shadow or
        # add dozens of other packages.
        for name in ("libvirtmod", "libvirt"):
            spec = importlib.machinery.PathFinder.find_spec(name, [DEBIAN_MODULES])
            if spec is None or spec.loader is None:
                version = f"{sys.version_info.major}.{sys.version_info.minor}"
                raise DriverError(
                    "This host cannot run guests: the libvirt bindings are missing.",
                    f"install the Debian package python3-libvirt (this Python is {version}: it must be Debian's own "
                    "version), or the PyPI package libvirt-python into this environment",
                ) from missing
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return sys.modules["libvirt"]


_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def _run_events(libvirt: ModuleType) -> None:
    """One thread per process that reads libvirt's sockets: events, keepalive, closed connections."""
    global _loop
    with _loop_lock:
        if _loop is not None:
            return
        # Errors reach us as exceptions; without this libvirt writes each to stderr as well.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        libvirt.virEventRegisterDefaultImpl()

        def run() -> None:
            while True:
                libvirt.virEventRunDefaultImpl()

        _loop = threading.Thread(target=run, name="libvirt-events", daemon=True)
        _loop.start()


class Connection:
    """Runs calls against libvirtd; a call that finds it gone is tried once more on a new connection."""

    def __init__(self, uri: str) -> None:
        self.libvirt: Any = load()
        self.uri = uri
        self._lock = threading.Lock()
        self._open: Any = None
        self._lost = threading.Event()
        self._changed: Callable[[str], None] | None = None
        _run_events(self.libvirt)

    def call(self, what: str, work: Callable[[Any], T]) -> T:
        """The result of ``work(virConnect)``; ``what`` completes the sentence "The hypervisor could not ...".

        ``work`` may run twice, so it must be repeatable.
        """
        libvirt = self.libvirt
        for last in (False, True):
            connection = None
            try:
                connection = self._connection()
                return work(connection)
            except libvirt.libvirtError as error:
                gone = connection is None or not self._alive(connection)
                if gone:
                    self._drop(connection)
                    if not last:
                        continue
                    raise Unreachable("The host's hypervisor is not reachable.", str(error)) from error
                raise self._refusal(what, error) from error
        raise AssertionError("unreachable")

    def _refusal(self, what: str, error: Any) -> DriverError:
        """libvirt's text names paths and hosts: it is for the operator only."""
        libvirt, code = self.libvirt, error.get_error_code()
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            return DriverError("The guest is not defined on its host.", str(error))
        if code == libvirt.VIR_ERR_OPERATION_INVALID:
            return WrongState(f"The hypervisor could not {what}: the guest's state does not allow it.", str(error))
        if code in (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_AGENT_UNRESPONSIVE):
            return DriverError(f"The hypervisor could not {what}: the guest did not answer in time.", str(error))
        if code in (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_XML_DETAIL):
            return DriverError(f"The hypervisor could not {what}: this host does not support it.", str(error))
        if code == libvirt.VIR_ERR_NO_MEMORY:
            return DriverError(f"The hypervisor could not {what}: the host is out of memory.", str(error))
        return DriverError(f"The hypervisor could not {what}.", str(error))

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed(guest id)`` on every lifecycle event, and for every guest after a new connection."""
        with self._lock:
            first = self._changed is None
            self._changed = changed
        if first:
            threading.Thread(target=self._keep, name="libvirt-watch", daemon=True).start()

    def _keep(self) -> None:
        """Hold a connection open: without one there are no events. What happened meanwhile was missed."""
        self._drop(self._open)
        pause = threading.Event()
        while True:
            self._lost.clear()
            try:
                connection = self._connection()
                for domain in connection.listAllDomains():
                    self._tell(domain.UUIDString())
            except self.libvirt.libvirtError:
                pause.wait(1.0)
                continue
            self._lost.wait()

    def _tell(self, id: str) -> None:
        if self._changed is not None:
            self._changed(id)

    def _alive(self, connection: Any) -> bool:
        try:
            return bool(connection.isAlive())
        except self.libvirt.libvirtError:
            return False

    def _drop(self, connection: Any) -> None:
        with self._lock:
            if connection is self._open:
                self._open = None
                self._lost.set()

    def _connection(self) -> Any:
        with self._lock:
            if self._open is not None and self._alive(self._open):
                return self._open
            libvirt = self.libvirt
            connection = self._open = libvirt.open(self.uri)
            # A libvirtd that hangs is given up after this; one that died is noticed at once.
            connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_MISSED)
            connection.registerCloseCallback(lambda closed, reason, opaque: self._drop(closed), None)
            if self._changed is not None:
                connection.domainEventRegisterAny(
                    None,
                    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                    lambda conn, domain, event, detail, opaque: self._tell(domain.UUIDString()),
                    None,
                )
                connection.domainEventRegisterAny(
                    None,
                    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                    lambda conn, domain, device, opaque: self._tell(domain.UUIDString()),
                    None,
                )
            return connection
