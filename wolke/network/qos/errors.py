"""Errors of QoS, by Neutron's names (neutron_lib/exceptions/qos.py)."""

from __future__ import annotations

from wolke.core.errors import Conflict, Forbidden, NotFound


class QosPolicyNotFound(NotFound):
    pass


class QosRuleNotFound(NotFound):
    pass


class QosPolicyInUse(Conflict):
    pass


class QoSPolicyDefaultAlreadyExists(Conflict):
    pass


class QoSRulesConflict(Conflict):
    """The policy has a rule of this type and direction already."""


class QosRuleNotSupported(Conflict):
    """What has the policy cannot be limited like that."""


class PolicyRemoveAuthorizationError(Forbidden):
    """Somebody else has given this policy, and the caller does not see it: it stays."""
