"""The site that switches: as it was, and as it is afterwards.

Copied to a directory of its own before it runs, so that the site as it was cannot import this package.
"""
