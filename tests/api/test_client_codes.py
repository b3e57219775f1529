"""The browser client's types know every code of the API."""

from tests.api import client_codes


def test_the_clients_type_of_codes_is_made_from_the_table():
    assert client_codes.FILE.read_text() == client_codes.text(), "The table has changed: make codes"
