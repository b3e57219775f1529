"""What a project adds: columns of its own on the session, an engine for them, another user model."""
