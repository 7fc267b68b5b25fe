"""Service providers: what clients that ask for them are told."""

from __future__ import annotations


def test_there_is_one_and_filters_find_it(cloud):
    path = "/network/v2.0/service-providers"
    [one] = cloud.reader.get(path).json()["service_providers"]
    assert one == {"service_type": "L3_ROUTER_NAT", "name": "ovn", "default": True}
    assert cloud.reader.get(path, params={"service_type": "VPN"}).json()["service_providers"] == []
    assert cloud.reader.get(path, params={"name": "ovn"}).json()["service_providers"] == [one]
