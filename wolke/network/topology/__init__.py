"""A project's network as a graph, and as a picture of it."""
