"""What a node's networks offer to machines."""
