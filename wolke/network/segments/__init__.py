"""Segments: where the frames of a network go."""
