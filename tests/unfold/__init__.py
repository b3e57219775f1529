"""The admin in the dress of django-unfold."""
