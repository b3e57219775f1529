"""Sessions in requests and responses: the cookie, hidden secrets, plain HTTP. Must not store anything."""
