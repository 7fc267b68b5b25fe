"""What control plane and agent tell each other: frozen dataclasses, as JSON over HTTPS with mutual TLS.

``wanted`` goes down (one host's whole slice), ``seen`` comes up (the whole picture). Nothing here has behaviour.
"""
