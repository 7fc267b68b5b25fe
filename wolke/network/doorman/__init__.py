"""The doorman: the operator's perimeter policy, before anything a project says."""
