"""Ports: a network card's place on a network, with its addresses and what may pass it."""
