"""Signed tokens (RFC 7519) that belong to a session's row; the only place that imports PyJWT.

Must not decide whether the session is still active: the caller that accepts a token loads the row
for that, unless it accepts access tokens until they expire.
"""
