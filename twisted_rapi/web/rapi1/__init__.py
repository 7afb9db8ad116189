"""The read-only remote API of version 1.2."""
