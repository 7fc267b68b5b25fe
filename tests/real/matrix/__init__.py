"""The packet matrix: random topologies, what the model says of them, and what packets do."""
