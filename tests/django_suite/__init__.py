"""Django's own session and auth tests, run on this engine; start with run.py."""
