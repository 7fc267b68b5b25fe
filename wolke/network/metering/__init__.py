"""Metering: labels that count what passes the gateways of routers."""
