"""Copies of session rows in a cache. Nothing here asks the database, and a cache that fails never fails a request."""
