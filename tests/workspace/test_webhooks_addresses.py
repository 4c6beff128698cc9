"""Which addresses a webhook may have: what is refused by its look, by where its name leads, and when."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from lifelearn.settings import Settings
from lifelearn.workspace.webhooks.addresses import Addresses, RefusedError, UnknownError, is_public, look_up

PUBLIC = "1.1.1.1"
PRIVATE = (
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
    "168.63.129.16",
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1",
    "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::", "2001::7f00:1",
    "100::1", "4000::1",
)  # fmt: skip


def resolving(*found: str, networks: str | None = None) -> Addresses:
    def resolve(_host: str, _port: int) -> Sequence[str]:
        return found

    return Addresses(networks, resolve)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(RefusedError, match="not public"):
        resolving(address).check("https://hooks.example/x")
    with pytest.raises(RefusedError, match="not public"):  # one of several is enough
        resolving(PUBLIC, address).check("https://hooks.example/x")


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_is_public(address: str) -> None:
    url, (ip,) = resolving(address).check("https://hooks.example/x")
    assert is_public(ip)
    assert (url.scheme, url.host, url.port, url.path) == ("https", "hooks.example", 443, "/x")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost", "localhost.", "LOCALHOST", "127.1",
     "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "[::]"],
)  # fmt: skip
def test_this_machine_by_any_name(host: str) -> None:
    """As the system's own resolver reads it."""
    with pytest.raises(RefusedError):
        Addresses().check(f"https://{host}/x")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "/x", "//hooks.example/x", "ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example:70/_x",
        "javascript:alert(1)", "data:text/html,x", "https:hooks.example", "https:/hooks.example", "https:///x",
        "https://", "https://:443/", "https://hooks.example:/x", "https://hooks.example:x/",
        "https://anna@hooks.example/", "https://anna:secret@hooks.example/", "https://@hooks.example/",
        "https://hooks.example@127.0.0.1/", "https://127.0.0.1\\@hooks.example/", "https://hooks.example\\x/",
        "https://hooks.example/#x", "https://127.0.0.1#@hooks.example/", "https://hooks.example/a b",
        "https://hooks.example/\nHost: x", "https://hooks.example/\r\nx", "https://hooks.example/\x00",
        "https://hooks\u3002example/", "https://hooks.exa\u0301mple/", "https://\u2460\u2461\u2466.0.0.1/",
        "https://hooks.example/<script>", 'https://hooks.example/"x', "https://hooks.example/ä", "https://[::1/",
        "https://[fe80::1%25eth0]/", "https://[v1.x]/", "https://hooks.example:22/", "https://hooks.example:0/",
        "https://hooks.example:25/", "https://hooks.example:65536/", "https://hooks.example:99999/",
        "https://hooks.example:\u0661/", "http://hooks.example/", "HTTP://hooks.example/", "https://h/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_refused_by_its_look(text: str) -> None:
    """And before anybody is asked about a name."""

    def resolve(*_: Any) -> Sequence[str]:
        raise AssertionError("a name server was asked")

    with pytest.raises(RefusedError):
        Addresses(resolve=resolve).check(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://Hooks.Example", "https://hooks.example/"),
        ("HTTPS://hooks.example:443/A?b=C", "https://hooks.example/A?b=C"),
        (" https://hooks.example.:8443/x ", "https://hooks.example:8443/x"),
        ("https://hooks.example?x=1", "https://hooks.example/?x=1"),
        ("https://hooks.example:80/", "https://hooks.example:80/"),
        ("https://xn--bcher-kva.example/%C3%A4", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
    ],
)
def test_what_is_kept_of_it(text: str, kept: str) -> None:
    assert str(Addresses().parse(text)) == kept


def test_networks_that_a_setting_allows() -> None:
    networks = "10.1.0.0/16, fd12::/16"
    for address in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3"):
        for scheme in ("https", "http"):
            url, _ips = resolving(address, networks=networks).check(f"{scheme}://hooks.internal/x")
            assert url.scheme == scheme
    with pytest.raises(RefusedError, match="not public"):
        resolving("10.2.0.1", networks=networks).check("https://hooks.internal/x")
    with pytest.raises(RefusedError, match="https"):
        resolving(PUBLIC, networks=networks).check("http://hooks.example/x")
    with pytest.raises(RefusedError, match="https"):
        resolving("10.1.2.3", PUBLIC, networks=networks).check("http://hooks.example/x")
    assert resolving(PUBLIC, networks=networks).check("https://hooks.example/x")


@pytest.mark.parametrize("value", ["10.0.0.0/33", "x", "10.1.0.0/16;10.2.0.0/16"])
def test_a_setting_that_names_no_networks(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(webhook_private_networks=value)


@pytest.mark.parametrize("found", [(), ("x",), ("fe80::1%eth0",)])
def test_names_that_lead_nowhere(found: tuple[str, ...]) -> None:
    with pytest.raises(UnknownError, match="cannot be found"):
        resolving(*found).check("https://hooks.example/x")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(UnknownError, match=r"hooks\.example cannot be found"):
        look_up("hooks.example", 443)
    monkeypatch.undo()
    with pytest.raises(UnknownError):
        look_up("a..b", 443)
