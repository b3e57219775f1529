"""How a session is shown to users, by the pages, the admin, the API and e-mails. Must not change anything."""
