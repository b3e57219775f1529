"""Sessions for Django in which every sign-in is a row that users can see and end.

Importing this package imports no other module; import the modules that the documentation names.
"""
