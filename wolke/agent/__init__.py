"""The host agent: makes one host's slice of the cloud true and tells what it sees.

It knows ``drivers`` and ``wire``, never the database; the control plane may be away for as long as it likes.
"""
