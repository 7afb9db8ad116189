"""What a node's networks offer to machines, and the address the master is reached by."""
