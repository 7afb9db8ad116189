"""Pure decisions: what is wanted, what is seen and the time become stages of work."""
