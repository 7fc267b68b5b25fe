"""``wolke doctor``: what works on this machine, what not, why, and what would cure it.

Nothing outside the standard library is imported before the check that needs it, so that a missing package is one line and
no traceback. No cloud has to run, and nothing is left behind.
"""
