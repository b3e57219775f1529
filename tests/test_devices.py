"""What is read from a user agent and from the addresses of a request."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus import devices
from django_sessions_plus.devices import Device

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X"
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"

USER_AGENTS = {
    f"{WINDOWS}) {BLINK} Safari/537.36": ("Chrome", "Windows", "desktop"),
    f"{WINDOWS}) {BLINK} Safari/537.36 Edg/126.0.2592.87": ("Edge", "Windows", "desktop"),
    f"{WINDOWS}) {BLINK} Safari/537.36 OPR/111.0.0.0": ("Opera", "Windows", "desktop"),
    f"{WINDOWS}; rv:128.0) Gecko/20100101 Firefox/128.0": ("Firefox", "Windows", "desktop"),
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko": (
        "IE",
        "Windows",
        "desktop",
    ),
    f"{MAC}) {BLINK} Safari/537.36": ("Chrome", "macOS", "desktop"),
    f"{MAC}) {WEBKIT} Version/17.5 Safari/605.1.15": ("Safari", "macOS", "desktop"),
    f"Mozilla/5.0 (X11; Linux x86_64) {BLINK} Safari/537.36": ("Chrome", "Linux", "desktop"),
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": (
        "Firefox",
        "Ubuntu",
        "desktop",
    ),
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36": (
        "Chrome",
        "ChromeOS",
        "desktop",
    ),
    f"{IPHONE}) {WEBKIT} Version/17.5 Mobile/15E148 Safari/604.1": ("Safari", "iOS", "phone"),
    f"{IPHONE}) {WEBKIT} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1": (
        "Chrome",
        "iOS",
        "phone",
    ),
    f"{IPHONE}) {WEBKIT} FxiOS/127.0 Mobile/15E148 Safari/605.1.15": ("Firefox", "iOS", "phone"),
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) "
    f"{WEBKIT} Version/16.6 Mobile/15E148 Safari/604.1": ("Safari", "iOS", "tablet"),
    f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Mobile Safari/537.36": (
        "Chrome",
        "Android",
        "phone",
    ),
    f"Mozilla/5.0 (Linux; Android 13; SM-X906C) {BLINK} Safari/537.36": (
        "Chrome",
        "Android",
        "tablet",
    ),
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36": (
        "Samsung Internet",
        "Android",
        "phone",
    ),
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0": (
        "Firefox",
        "Android",
        "phone",
    ),
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": (
        "Googlebot",
        "",
        "bot",
    ),
    f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {BLINK} Mobile Safari/537.36 "
    "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)": (
        "Googlebot",
        "Android",
        "bot",
    ),
    "curl/8.6.0": ("curl", "", "other"),
    "Wget/1.21.4": ("Wget", "", "other"),
    "python-requests/2.32.3": ("Python Requests", "", "other"),
    "okhttp/4.12.0": ("okhttp", "", "other"),
    "Mozilla/5.0": ("", "", "other"),
    "no browser anybody knows": ("", "", "other"),
}

# What apps of phones say: their own name, or what Apple's web view says of itself and perhaps a name.
APPS = {
    "MyApp/1.0 CFNetwork/1494.0.7 Darwin/23.4.0": ("MyApp", "iOS", "phone", "1.0"),
    "My%20App/42 CFNetwork/1494.0.7 Darwin/23.4.0": ("My App", "iOS", "phone", "42"),
    "MyShop/5.1.0 (iPhone; iOS 17.4; Scale/3.00)": ("MyShop", "iOS", "phone", "5.1.0"),
    "MyShop/5.1 (com.example.shop; build:12; iOS 17.4.1) Alamofire/5.8.1": (
        "MyShop",
        "iOS",
        "other",
        "5.1",
    ),
    "MyShop/5.1.0 (Android 14; Pixel 8)": ("MyShop", "Android", "tablet", "5.1.0"),
    f"{IPHONE}) {WEBKIT} Mobile/15E148": ("", "iOS", "phone", ""),
    f"{IPHONE}) {WEBKIT} Mobile/15E148 MyShop/5.1.0": ("MyShop", "iOS", "phone", "5.1.0"),
    f"Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) {WEBKIT} Mobile/15E148 Acme Notes/2.0": (
        "Acme Notes",
        "iOS",
        "tablet",
        "2.0",
    ),
    f"{IPHONE}) {WEBKIT} Mobile/15E148 <b>x</b>/2.0": ("", "iOS", "phone", ""),
    f"{IPHONE}) {WEBKIT} Mobile/15E148 call: 555 0100/1": ("", "iOS", "phone", ""),
}

NAMELESS = Device("", "", "", "other")

CHROME = f"{WINDOWS}) {BLINK} Safari/537.36"


@pytest.mark.parametrize(("user_agent", "expected"), USER_AGENTS.items())
def test_a_user_agent_becomes_a_device_that_people_know(user_agent, expected):
    browser, system, kind = expected
    label = " on ".join(filter(None, (browser, system)))
    assert devices.parse(user_agent) == Device(label, browser, system, kind)


@pytest.mark.parametrize(("user_agent", "expected"), APPS.items())
def test_an_app_goes_by_its_own_name_and_version(user_agent, expected):
    app, system, kind, version = expected
    name = f"{app} {version}".strip()
    label = " on ".join(filter(None, (name, system)))
    assert devices.parse(user_agent) == Device(label, app, system, kind, version)


def test_an_update_of_an_app_is_no_other_app():
    one, other = "MyShop/5.1 CFNetwork/1 Darwin/22", "MyShop/5.2 CFNetwork/1 Darwin/22"
    assert devices.context_changes({"user_agent": one}, {"user_agent": other}) == {}


@pytest.mark.parametrize("user_agent", APPS)
def test_an_app_is_recorded_in_place_of_its_user_agent_without_the_version(user_agent):
    device = devices.parse(user_agent)
    recorded = devices.parse(devices.recorded_user_agent(user_agent, "parsed"))
    assert (recorded.browser, recorded.os, recorded.kind) == (
        device.browser,
        device.os,
        device.kind,
    )
    assert recorded.version == ""


@pytest.mark.parametrize("user_agent", USER_AGENTS)
def test_what_is_recorded_in_place_of_a_user_agent_is_the_same_device(user_agent):
    recorded = devices.recorded_user_agent(user_agent, "parsed")
    device = devices.parse(user_agent)
    assert devices.parse(recorded) == (device if device.label else NAMELESS)
    assert recorded is None or not any(c.isdigit() for c in recorded)


def test_a_system_without_a_browser_is_recorded_as_a_system():
    device = devices.parse("Something (Windows NT 10.0)")
    assert (device.browser, device.os) == ("", "Windows")
    recorded = devices.recorded_user_agent("Something (Windows NT 10.0)", "parsed")
    assert devices.parse(recorded) == device


@pytest.mark.parametrize(
    "nothing", [None, "", " ", "\t\r\n", "\0", "\0\x01\x7f", "\ud800\udfff", "\u200b\u202e"]
)
def test_no_user_agent_is_a_device_without_a_name(nothing):
    assert devices.parse(nothing) == NAMELESS
    assert devices.clean_user_agent(nothing) is None
    for mode in ("full", "parsed", "off"):
        assert devices.recorded_user_agent(nothing, mode) is None


@pytest.mark.parametrize("value", [b"curl/8.6.0", 8, ["curl"], {}, object(), True])
def test_what_is_no_text_is_no_user_agent(value):
    assert devices.clean_user_agent(value) is None
    assert devices.parse(value) == NAMELESS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("curl/8\0.6", "curl/8.6"),
        ("curl\x1b[31m/8", "curl[31m/8"),
        (" curl/8\r\nSet-Cookie: a=b", "curl/8Set-Cookie: a=b"),
        ("curl \ud83d\ude00 \N{GRINNING FACE}", "curl  \N{GRINNING FACE}"),
        ("\u202ecurl\u2066", "curl"),
        ("x" * 1_000_000, "x" * 512),
        ("\0" * 512 + "curl", None),
        (" " * 600 + "curl", None),
    ],
)
def test_a_user_agent_is_cut_and_stripped_of_what_does_not_print(value, expected):
    assert devices.clean_user_agent(value) == expected


def test_a_megabyte_of_user_agent_leaves_nothing_of_its_size_behind():
    devices._parse.cache_clear()
    enormous = CHROME + "x" * 1_000_000
    assert devices.parse(enormous).browser == "Chrome"
    assert devices.parse(enormous + "y").browser == "Chrome"
    # One entry for both: the cache knows only what is left after cutting.
    assert devices._parse.cache_info().currsize == 1


@given(st.text(st.characters(), max_size=600) | st.text("MozilaBt/5.0 ();onW", max_size=600))
def test_any_user_agent_can_be_stored_and_shown(value):
    for mode in ("full", "parsed"):
        recorded = devices.recorded_user_agent(value, mode)
        if recorded is not None:
            assert 0 < len(recorded) <= devices.USER_AGENT_LENGTH
            assert recorded.isprintable()
            recorded.encode()
    device = devices.parse(value)
    assert device.kind in {"desktop", "phone", "tablet", "bot", "other"}
    assert device.browser in device.label
    assert device.os in device.label


def test_recording_user_agents_can_be_full_parsed_or_off():
    assert devices.recorded_user_agent(CHROME, "full") == CHROME
    assert devices.recorded_user_agent(CHROME, "parsed") == "Chrome on Windows (desktop)"
    assert devices.recorded_user_agent(CHROME, "off") is None


PEER, NEAR, FAR, CLIENT = "203.0.113.7", "10.0.0.1", "192.168.1.1", "198.51.100.4"
TRUSTED = ["10.0.0.0/8", "192.168.1.1", "fd00::/8"]


def ip(peer, forwarded=None, proxies=TRUSTED, header="X-Forwarded-For"):
    meta = {} if peer is None else {"REMOTE_ADDR": peer}
    if forwarded is not None:
        meta["HTTP_" + header.upper().replace("-", "_")] = forwarded
    return devices.client_ip(meta, proxies, header)


@pytest.mark.parametrize(
    ("remote_addr", "expected"),
    [
        (PEER, PEER),
        (f" {PEER} ", PEER),
        (f"{PEER}:443", PEER),
        (f"{PEER}:", PEER),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("fe80::1%", "fe80::1"),
        ("::ffff:203.0.113.7", PEER),
        ("[::ffff:cb00:7107]:80", PEER),
        ("::1", "::1"),
        ("0.0.0.0", "0.0.0.0"),
        ("", None),
        (" ", None),
        (None, None),
        ("unix:", None),
        ("unix:/run/site.sock", None),
        ("/run/site.sock", None),
        ("@", None),
        ("localhost", None),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113", None),
        ("203.0.113.7.1", None),
        ("203.0.113.256", None),
        ("203.0.113.07", None),
        ("0xcb.0.0x71.7", None),
        ("3405803783", None),
        (f"{PEER}, {CLIENT}", None),
        (f"{PEER}/32", None),
        (f"{PEER}\0", None),
        ("203.0.113.\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("[", None),
        ("[]", None),
        ("]:80", None),
        (":", None),
        (":::", None),
        ("%eth0", None),
        ("1" * 100_000, None),
        (":" * 100_000, None),
        (b"203.0.113.7", None),
        (3405803783, None),
        (object(), None),
    ],
)
def test_the_peer_is_the_client_or_nobody_is(remote_addr, expected):
    assert ip(remote_addr, proxies=[]) == expected


def test_without_proxies_no_header_is_believed():
    assert ip(PEER, CLIENT, proxies=[]) == PEER
    assert ip("", CLIENT, proxies=[]) is None
    assert ip(None, CLIENT, proxies=()) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        # Not through a proxy of ours: whatever the header says, the peer is the client.
        (PEER, None, PEER),
        (PEER, CLIENT, PEER),
        (PEER, NEAR, PEER),
        ("", CLIENT, None),
        ("garbage", CLIENT, None),
        # Through one: what it says is the client, what the client said is not.
        (NEAR, CLIENT, CLIENT),
        (NEAR, f"1.1.1.1, {CLIENT}", CLIENT),
        (NEAR, f"1.1.1.1,2.2.2.2,{CLIENT}", CLIENT),
        (NEAR, f"{NEAR}, {CLIENT}", CLIENT),
        (NEAR, f" {CLIENT} ", CLIENT),
        (NEAR, f"{CLIENT}:1234", CLIENT),
        (NEAR, "[2001:db8::1]:443", "2001:db8::1"),
        (NEAR, '"[2001:db8::1]:443"', "2001:db8::1"),
        (NEAR, f"::ffff:{CLIENT}", CLIENT),
        (f"{NEAR}:9000", CLIENT, CLIENT),
        (f"::ffff:{NEAR}", CLIENT, CLIENT),
        ("fd00::1%eth0", CLIENT, CLIENT),
        # Through two: right to left past those that are trusted.
        (NEAR, f"{CLIENT}, {FAR}", CLIENT),
        (NEAR, f"1.1.1.1, {CLIENT}, {FAR}, 10.9.9.9", CLIENT),
        (NEAR, f"{CLIENT}, fd00::2, {FAR}:80", CLIENT),
        # Only proxies: the farthest is all that is known.
        (NEAR, f"10.0.0.3, {FAR}", "10.0.0.3"),
        (NEAR, None, NEAR),
        (NEAR, "", NEAR),
        # A hop that is no address ends what can be believed.
        (NEAR, "unknown", None),
        (NEAR, f"{CLIENT}, unknown", None),
        (NEAR, f"{CLIENT}, unknown, {FAR}", None),
        (NEAR, f"{CLIENT}, ", None),
        (NEAR, ",", None),
        (NEAR, ",,,,", None),
        (NEAR, f"{CLIENT};{FAR}", None),
        (NEAR, f"{CLIENT} {FAR}", None),
        (NEAR, f"for={CLIENT}", None),
        (NEAR, "<script>alert(1)</script>", None),
        (NEAR, "\0\r\n\ud800", None),
        (NEAR, "9" * 100_000, None),
        (NEAR, "," * 100_000, None),
        (NEAR, f"{'1.1.1.1, ' * 20_000}{CLIENT}", CLIENT),
    ],
)
def test_proxies_vouch_for_the_address_left_of_them(peer, forwarded, expected):
    assert ip(peer, forwarded) == expected


@pytest.mark.parametrize("peer", [None, "", "unix:"])
@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [(CLIENT, CLIENT), (f"1.1.1.1, {CLIENT}", CLIENT), (None, None), ("garbage", None)],
)
def test_a_proxy_on_a_unix_socket_is_believed_when_it_is_named(peer, forwarded, expected):
    assert ip(peer, forwarded, proxies=["unix"]) == expected
    assert ip(peer, forwarded, proxies=["10.0.0.0/8"]) is None


def test_the_word_for_unix_sockets_trusts_no_address():
    assert ip(PEER, CLIENT, proxies=["unix"]) == PEER
    assert ip("garbage", CLIENT, proxies=["unix"]) is None


def test_the_header_has_the_name_that_is_configured():
    assert ip(NEAR, CLIENT, header="X-Real-IP") == CLIENT
    assert devices.client_ip(
        {"REMOTE_ADDR": NEAR, "HTTP_X_FORWARDED_FOR": CLIENT}, TRUSTED, "X-Real-IP"
    ) == (NEAR)


@pytest.mark.parametrize("value", [None, 5, b"198.51.100.4", [CLIENT], object()])
def test_a_header_that_is_no_text_is_no_address(value):
    assert devices.client_ip({"REMOTE_ADDR": NEAR, "HTTP_X_FORWARDED_FOR": value}, TRUSTED) is None


texts = st.text(st.characters(), max_size=60) | st.text("0123456789.:,%[]abfx /", max_size=60)


@given(
    peer=texts | st.sampled_from([NEAR, "", None]),
    forwarded=texts | st.lists(st.ip_addresses().map(str) | texts).map(",".join),
    proxies=st.sampled_from([[], TRUSTED, ["unix"], ["0.0.0.0/0", "::/0", "unix"]]),
)
def test_whatever_a_request_says_its_client_is_an_address_or_unknown(peer, forwarded, proxies):
    found = ip(peer, forwarded, proxies)
    assert found is None or str(ip_address(found)) == found


@given(client=st.ip_addresses().map(str), claims=st.lists(texts.filter(lambda t: "," not in t)))
def test_nothing_a_client_claims_changes_who_it_is(client, claims):
    proxies = [NEAR]
    honest = ip(NEAR, client, proxies)
    assert ip(NEAR, ",".join([*claims, client]), proxies) == honest


@pytest.mark.parametrize(
    ("address", "mode", "expected"),
    [
        (PEER, "full", PEER),
        (PEER, "truncated", "203.0.113.0"),
        ("203.0.113.0", "truncated", "203.0.113.0"),
        ("255.255.255.255", "truncated", "255.255.255.0"),
        (PEER, "off", None),
        ("2001:db8:aaaa:bbbb:cccc::1", "full", "2001:db8:aaaa:bbbb:cccc::1"),
        ("2001:db8:aaaa:bbbb:cccc::1", "truncated", "2001:db8:aaaa::"),
        ("::1", "truncated", "::"),
        ("2001:db8::1", "off", None),
        (None, "full", None),
        (None, "truncated", None),
        (None, "off", None),
    ],
)
def test_recording_addresses_can_be_full_truncated_or_off(address, mode, expected):
    assert devices.recorded_ip(address, mode) == expected


@given(st.ip_addresses().map(str))
def test_a_truncated_address_can_be_stored_and_says_no_more_than_the_network(address):
    recorded = devices.recorded_ip(devices.client_ip({"REMOTE_ADDR": address}), "truncated")
    assert recorded is not None
    bits = int(ip_address(recorded))
    assert bits % 2 ** (80 if ":" in recorded else 8) == 0
