"""The edge inventory: every way in and out of the cloud, what is open there, and since when."""
