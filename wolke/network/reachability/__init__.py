"""Reachability with proof: can A reach B, and which rule decides? One pure model of the network answers."""
