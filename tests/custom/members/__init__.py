"""An app with a user model whose key is an e-mail address; installed only by tests.custom.email_settings."""
