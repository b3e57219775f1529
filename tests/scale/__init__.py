"""The table with many rows in it: how the database finds what it is asked for, and what is counted."""
