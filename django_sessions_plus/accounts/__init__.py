"""What happens around a sign-in: new devices, failed attempts, changed passwords. Rows change only by ``sessions``."""
