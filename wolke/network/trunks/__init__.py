"""Trunks: several networks through one card of a server, told apart by VLAN tags."""
