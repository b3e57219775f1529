"""The built distributions, and what happens to those who install them."""
