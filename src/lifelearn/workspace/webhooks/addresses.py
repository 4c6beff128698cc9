"""Which addresses a webhook may have: public ones over https, and those of networks that a setting allows.

A name is resolved anew for each use, all its addresses are checked, and who connects does so to one that was checked: a
name server that says something else a moment later changes nothing. Knows no database and no HTTP.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

URL_CHARS = 2000
PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024  # below are the machine's own services

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

# RFC 3986's characters and no others, so that no two readers of it can take it for different addresses.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][a-z0-9._~:/?@!$&'()*+,;=%\[\]-]*)?",
    re.IGNORECASE | re.ASCII,
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V6_PUBLIC = ipaddress.IPv6Network("2000::/3")
# What `is_global` lets pass on some Pythons: ways to an IPv4 address inside, and what is public in name only.
_NEVER = tuple(
    ipaddress.ip_network(each)
    for each in (
        "192.0.0.0/24",  # for protocols
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # metadata at Azure
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)


class RefusedError(Exception):
    """The text says why an address is not used, in a sentence."""


class UnknownError(RefusedError):
    """Nobody knows the name, at the moment at least."""


@dataclass(frozen=True)
class Url:
    """A webhook's URL in its parts. path: with the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port, as the header Host has them."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Without the path, which may hold a secret."""
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.path

    def at(self, address: Ip) -> str:
        """The same with an address in place of the name."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def look_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, as this machine resolves it. Raises UnknownError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise UnknownError(f"The name {host} cannot be found.") from None
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Addresses:
    """networks: of the setting; what is in one of them is allowed, over http as well. resolve: as `look_up`."""

    def __init__(self, networks: str | None = None, resolve: Resolve = look_up) -> None:
        named = [each.strip() for each in (networks or "").split(",") if each.strip()]
        self._networks = tuple(ipaddress.ip_network(each, strict=False) for each in named)
        self.resolve = resolve

    def parse(self, text: str) -> Url:
        """What can be said of a URL without asking anybody. Raises RefusedError."""
        text = text.strip()
        if len(text) > URL_CHARS:
            raise RefusedError(f"Use at most {URL_CHARS} characters.")
        if re.match(r"[a-z+.-]+://[^/?#]*@", text, re.IGNORECASE):
            raise RefusedError("Leave out the user name and password. The signature tells the receiver who sends.")
        if "#" in text:
            raise RefusedError("Leave out the part from # on; it is never sent.")
        found = _URL.fullmatch(text)
        if found is None:
            raise RefusedError(
                "This is not a web address, such as https://example.com/hook. Letters other than a to z are written "
                "in their encoded form: xn--… in a name, %… after it."
            )
        scheme, host, rest = found["scheme"].lower(), found["host"].lower().removesuffix("."), found["rest"] or "/"
        port = PORTS[scheme] if found["port"] is None else int(found["port"])
        if scheme == "http" and not self._networks:
            raise self._not_encrypted()
        if port not in PORTS.values() and not FIRST_FREE_PORT <= port < 1 << 16:
            raise RefusedError(f"Use port 80, 443, or one from {FIRST_FREE_PORT} on.")
        return Url(scheme, host, port, rest if rest.startswith("/") else f"/{rest}")

    def check(self, text: str) -> tuple[Url, tuple[Ip, ...]]:
        """The URL, and the addresses to connect to. Asks the name server, which may take long. Raises RefusedError."""
        url = self.parse(text)
        named = url.host.removeprefix("[").removesuffix("]")
        try:
            found = tuple(dict.fromkeys(_ip(each) for each in self.resolve(named, url.port)))
        except ValueError:
            found = ()
        if not found:
            raise UnknownError(f"The name {url.host} cannot be found.")
        for ip in found:
            ours = any(_inner(ip) in network for network in self._networks)
            if not ours and not is_public(ip):
                raise RefusedError(
                    f"{url.host} leads to an address that is not public. Who runs this workspace can allow its network "
                    "by LL_WEBHOOK_PRIVATE_NETWORKS."
                )
            if not ours and url.scheme == "http":
                raise self._not_encrypted()
        return url, found

    def _not_encrypted(self) -> RefusedError:
        return RefusedError("Use https://, so that nobody on the way can read or change what is sent.")


def is_public(ip: Ip) -> bool:
    """Whether everybody on the internet means the same machine by it, and not one of ours."""
    ip = _inner(ip)
    if ip.version == 6 and ip not in _V6_PUBLIC:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NEVER)


def _ip(text: str) -> Ip:
    """An IPv4 address in IPv6's clothes is the IPv4 address. Raises ValueError, also for one with a zone."""
    if "%" in text:
        raise ValueError(text)
    ip = ipaddress.ip_address(text)
    return (ip.ipv4_mapped or ip) if ip.version == 6 else ip


def _inner(ip: Ip) -> Ip:
    """What it leads to: behind NAT64 an IPv4 address."""
    if ip.version == 4:
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip
