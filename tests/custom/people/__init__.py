"""An app with a user model whose key is a UUID; installed only by tests.custom.uuid_settings."""
