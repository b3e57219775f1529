"""The session engines, for ``SESSION_ENGINE``."""
