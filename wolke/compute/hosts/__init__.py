"""The hosts: how they join, what they are told, what they tell, and which of them a server goes to."""
