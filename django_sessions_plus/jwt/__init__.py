"""Signed tokens (RFC 7519) that belong to a session's row; the only place that imports PyJWT.

Nothing here decides whether the session still lives: that is the row's, and whoever
accepts a token asks it, unless the window of an access token is acceptable.
"""
