"""What the API shows of objects: a table of fields for each kind."""
