"""Quality of service: policies of rules, given to ports, networks, floating IPs and router gateways."""
