"""The job queue: accept, lock, execute, archive."""
