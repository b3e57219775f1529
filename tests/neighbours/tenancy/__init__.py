"""The app that has the tenants."""
