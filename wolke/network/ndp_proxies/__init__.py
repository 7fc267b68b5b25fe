"""NDP proxies: IPv6 addresses behind a router that it answers for on its external network."""
