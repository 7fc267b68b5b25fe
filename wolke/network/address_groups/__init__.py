"""Address groups: named sets of prefixes that security group rules refer to."""
