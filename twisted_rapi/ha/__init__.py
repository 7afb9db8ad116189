"""Which candidate is master, and what it runs while it is."""
