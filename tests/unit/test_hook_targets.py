"""Where webhooks may lead: every way to write an address inside is refused, before and at the connection."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import httpcore
import pytest

from fieldpack.server.hooks import targets
from fieldpack.server.hooks.targets import Authorities, Refused, check_target, open_pool, resolve
from fieldpack.server.values.networks import Allowed, is_inside, parse_allowed

INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.1", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fec0::1",
    "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1",
]  # fmt: skip
OUTSIDE = [
    "1.1.1.1", "93.184.216.34", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "192.0.1.0",
    "192.88.98.1", "2001:200::1", "2001:4860:4860::8888", "198.20.0.1",
]  # fmt: skip

# of each network that IANA lists as special and not globally reachable: its first address and its last
SPECIAL = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
    "192.0.0.192/32", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "::1/128", "::/128", "::ffff:10.0.0.0/104",
    "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:1::1/128", "2001:2::/48",
    "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "3fff::/20",
    "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::ffff:192.0.0.0/120", "64:ff9b::192.0.0.0/120",
    "2002:c000:0::/40",
]  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL)
def test_networks_that_are_special_are_inside(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the Python that is there knows of them."""
    for version in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(version, "is_global", True)
        monkeypatch.setattr(version, "is_reserved", False)
        monkeypatch.setattr(version, "is_multicast", False)
    network = ipaddress.ip_network(text)
    assert is_inside(network[0])
    assert is_inside(network[-1])


@pytest.mark.parametrize("text", INSIDE)
def test_inside(text: str) -> None:
    assert is_inside(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_outside(text: str) -> None:
    assert not is_inside(ipaddress.ip_address(text))


REFUSED = [
    "http://example.org/",
    "ftp://example.org/",
    "//example.org/",
    "example.org",
    "https:///hook",
    "https://",
    "https://user@example.org/",
    "https://user:password@example.org/",
    "https://example.org@127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://[::1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:7f00:1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[::]/",
    "https://0/",
    "https://0x7f.0.0.1/",
    "https://127.0.0.1./",
    "https://127%2e0.0.1/",
    "https://127.0.0.1:443@example.org/",
    "https://user:@10.0.0.1/",
    "https://127\uff610\uff610\uff611/",
    "https://169.254.169.254/latest/meta-data",
    "https://127\u30020\u30020\u30021/",
    "https://127\uff0e0\uff0e0\uff0e1/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://\uff4cocalhost/",
    "https://example.org\\@127.0.0.1/",
    "https://example.org:99999/",
    "https://exa mple.org/",
    "https://example.org/\n",
    " https://example.org/",
]


@pytest.mark.parametrize("url", REFUSED)
def test_targets_that_are_refused_as_they_are_written(url: str) -> None:
    with pytest.raises(Refused):
        check_target(url, Allowed())


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.org/hook?a=b", "example.org", 443),
        ("HTTPS://Example.org:8443/", "example.org", 8443),
        ("https://1.1.1.1/", "1.1.1.1", 443),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
    ],
)
def test_targets_that_are_taken(url: str, host: str, port: int) -> None:
    assert check_target(url, Allowed()) == (host, port)


def test_what_the_operator_lists() -> None:
    allowed = parse_allowed(" 10.1.0.0/16, hooks.internal , [::1],127.0.0.1 ")
    for url in ("http://10.1.2.3:80/", "https://hooks.internal/", "http://HOOKS.internal./", "http://[::1]/"):
        check_target(url, allowed)
    for url in ("http://10.2.0.1/", "https://10.2.0.1/", "http://x.hooks.internal/", "https://127.0.0.2/"):
        with pytest.raises(Refused):
            check_target(url, allowed)
    for wrong in ("https://x", "a b", "10.0.0.0/99", "x:80", "a/b"):
        with pytest.raises(ValueError, match="is no host"):
            parse_allowed(wrong)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names lead to these addresses, one list after the other; what was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def post(url: str, allowed: Allowed) -> int:
    async def send() -> int:
        async with open_pool(allowed, 1, Authorities()) as pool, asyncio.timeout(20):
            return (await pool.request("POST", url, content=b"{}")).status

    return asyncio.run(send())


def test_names_that_nobody_answers_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: gate.wait(120) and [])

    async def look_up() -> str:
        waiting = [asyncio.create_task(resolve("example.org", 443, Allowed())) for _ in range(40)]
        await asyncio.sleep(0.1)
        done = await asyncio.wait_for(asyncio.to_thread(str.upper, "done"), 60)
        gate.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        return done

    assert asyncio.run(look_up()) == "DONE"


def test_every_address_of_a_name_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for addresses in (["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:127.0.0.1"], ["nonsense"]):
        resolving(monkeypatch, addresses)
        with pytest.raises(Refused):
            post("https://example.org/", Allowed())


def test_the_address_that_was_looked_at_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere the second time it is asked for is not asked for a second time."""
    connected: list[str] = []

    async def connect_tcp(self: Any, host: str, port: int, **more: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("no network in this test")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    asked = resolving(monkeypatch, ["93.184.216.34", "93.184.216.35"], ["127.0.0.1"])
    with pytest.raises(httpcore.ConnectError):
        post("https://rebinding.example/", Allowed())
    assert asked == ["rebinding.example"]
    assert connected == ["93.184.216.34", "93.184.216.35"]
    assert targets.RESOLVE_SECONDS > 0
