"""The engine leased_db behind the servers that Django sites run on, each started as its documentation says."""
