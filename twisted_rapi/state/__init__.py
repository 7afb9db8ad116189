"""The store, its implementations, the record codec and the snapshot that reads are served from."""
