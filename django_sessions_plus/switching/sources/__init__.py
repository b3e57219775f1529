"""The stores of other engines, from which sessions are imported: find one by its key, or delete it.

The other engine reads its own data: its serializer, its signature, its encryption. Only ``update()``, ``delete()`` and
``delete_many()`` write to a store. ``named`` finds a source by its name, ``base`` says what a source does, and each
other module is one kind.
"""
