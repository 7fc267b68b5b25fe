"""Address scopes: within one, addresses mean the same everywhere, so they are routed as they are."""
