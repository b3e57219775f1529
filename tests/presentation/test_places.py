"""Where an address is, as far as a database of the project's knows."""

import pytest
from django.contrib.gis import geoip2

from django_sessions_plus.presentation import places


class Database:
    """Stands in for ``django.contrib.gis.geoip2.GeoIP2``."""

    is_city = True
    opened = 0
    asked = 0

    def __init__(self, path):
        type(self).opened += 1
        if path == "broken":
            raise geoip2.GeoIP2Exception("no such file")

    def city(self, address):
        type(self).asked += 1
        if address == "10.0.0.1":
            raise RuntimeError("The address 10.0.0.1 is not in the database.")
        found = {"192.0.2.1": ("Berlin", "Germany"), "192.0.2.2": (None, "France")}
        city, country = found.get(address, (None, None))
        return {"city": city, "country_name": country}

    def country(self, address):
        return {"country_name": "Spain"}


@pytest.fixture(autouse=True)
def database(monkeypatch, settings):
    settings.GEOIP_PATH = "somewhere"
    monkeypatch.setattr(geoip2, "HAS_GEOIP2", True)
    monkeypatch.setattr(geoip2, "GeoIP2", Database)
    Database.opened = Database.asked = 0
    Database.is_city = True


@pytest.fixture(autouse=True)
def _nothing_remembered():
    yield
    places._look_up.cache_clear()
    places._database.cache_clear()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "Berlin, Germany"),
        ("192.0.2.2", "France"),
        ("192.0.2.3", ""),
        ("10.0.0.1", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_place_is_what_the_database_says_and_nothing_else(address, place):
    assert places.place_of(address) == place


def test_a_database_of_countries_knows_countries():
    Database.is_city = False
    assert places.place_of("192.0.2.1") == "Spain"


def test_without_the_setting_nobody_is_asked(settings):
    del settings.GEOIP_PATH
    assert places.place_of("192.0.2.1") == ""
    assert Database.opened == 0


def test_an_address_is_looked_up_once(settings):
    for _ in range(3):
        places.place_of("192.0.2.1")
        places.place_of("10.0.0.1")
    assert (Database.opened, Database.asked) == (1, 2)


def test_a_database_that_cannot_be_read_is_logged_once_and_breaks_nothing(settings, caplog):
    settings.GEOIP_PATH = "broken"
    assert [places.place_of(f"192.0.2.{n}") for n in range(3)] == ["", "", ""]
    assert caplog.text.count("cannot be read") == 1


def test_without_the_package_there_are_no_places_and_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(geoip2, "HAS_GEOIP2", False)
    assert places.place_of("192.0.2.1") == ""
    assert "geoip2 is not installed" in caplog.text
