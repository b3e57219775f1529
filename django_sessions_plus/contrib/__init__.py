"""Integrations with other packages; each module is imported only where its package is installed."""
