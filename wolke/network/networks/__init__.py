"""Networks: logical switches, alone or on a physical network of the site."""
