"""BGP: hosts tell the operator's routers what is routed to the cloud."""
