"""How sets of rows are locked, ended, deleted and purged. Must not import an engine or use a request."""
