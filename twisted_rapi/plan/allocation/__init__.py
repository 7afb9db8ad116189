"""Asking who is to say where instances go: the built-in allocator, or a script (behaviour.md §7)."""
