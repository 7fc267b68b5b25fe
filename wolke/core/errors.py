"""Errors that say what the caller can do about them. ``core.http`` alone turns them into answers.

A domain derives classes named as its API names them (``class NetworkInUse(Conflict)``); the class name is part of some dialects.
"""

from __future__ import annotations


class WolkeError(Exception):
    """``str(error)`` is for the caller and names the thing; ``hint`` is for us and goes to the log only."""

    status = 500
    title = "Internal Server Error"

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or self.title)
        self.hint = hint


class BadRequest(WolkeError):
    status, title = 400, "Bad Request"


class Unauthorized(WolkeError):
    """No token, or one that is forged, expired or revoked."""

    status, title = 401, "Unauthorized"


class Forbidden(WolkeError):
    """The thing is visible, the call is not allowed."""

    status, title = 403, "Forbidden"


class NotFound(WolkeError):
    """Unknown or invisible: the caller cannot tell which."""

    status, title = 404, "Not Found"


class MethodNotAllowed(WolkeError):
    status, title = 405, "Method Not Allowed"


class NotAcceptable(WolkeError):
    """A microversion that this cloud does not speak."""

    status, title = 406, "Not Acceptable"


class TooSlow(WolkeError):
    status, title = 408, "Request Timeout"


class Conflict(WolkeError):
    status, title = 409, "Conflict"


class OverQuota(Conflict):
    """The project has used up its allowance of one resource."""

    def __init__(self, resource: str, *, limit: int, used: int, requested: int) -> None:
        super().__init__(
            f"Quota exceeded for {resource}: requested {requested}, but already used {used} of {limit} {resource}"
        )
        self.resource, self.limit, self.used, self.requested = resource, limit, used, requested


class PreconditionFailed(WolkeError):
    """``If-Match`` named another revision than the present one."""

    status, title = 412, "Precondition Failed"


class TooLarge(WolkeError):
    status, title = 413, "Request Entity Too Large"


class UnsupportedMedia(WolkeError):
    status, title = 415, "Unsupported Media Type"


class NotProvided(WolkeError):
    """A call that the API knows and this cloud does not offer."""

    status, title = 501, "Not Implemented"


class Unavailable(WolkeError):
    """An engine or a host does not answer now; the same call may work later."""

    status, title = 503, "Service Unavailable"
