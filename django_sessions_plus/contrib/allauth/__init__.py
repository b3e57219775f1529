"""For django-allauth: what its own sign-in page asks for after the password."""
