"""A whole cloud in one process, with hosts that live in memory: for developers and fast tests."""
