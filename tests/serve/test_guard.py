"""Who is answered and who is refused, each with a sentence."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tunetseg.serve.guard import Guard
from tunetseg.serve.jobs import Jobs


def sentence(answer: Any) -> str:
    assert answer.status_code == 403
    return str(answer.json()["error"])


@pytest.mark.parametrize("path", ["/", "/jobs", "/wrong/jobs", "/a-toke/jobs", "/a-token2/", "//a-token/jobs"])
def test_without_the_token(client: TestClient, path: str) -> None:
    assert "the token is missing or wrong" in sentence(client.get(f"http://127.0.0.1:8017{path}"))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8017", "127.0.0.1.evil.example", "10.0.0.7", "", "[::2]"]
)
def test_another_host(client: TestClient, host: str) -> None:
    """As after DNS rebinding."""
    assert "is not called so" in sentence(client.get("jobs", headers={"host": host}))


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:8017", "LOCALHOST", "[::1]:8017"])
def test_own_hosts(client: TestClient, host: str) -> None:
    assert client.get("jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8017", "file://127.0.0.1:8017"]
)
def test_another_origin(client: TestClient, jobs: Jobs, origin: str) -> None:
    assert "from other pages are refused" in sentence(client.post("jobs", headers={"origin": origin}))
    assert jobs.describe() == []


def test_its_own_origin(client: TestClient) -> None:
    assert client.post("jobs", headers={"origin": "http://127.0.0.1:8017"}).status_code == 201


def test_addresses_where_others_can_reach_it(client: TestClient) -> None:
    guard = Guard(client.app.app, "a-token", {"box"}, any_address=True)
    other = TestClient(guard, base_url="http://box:1/a-token/")
    for host, status in (("192.168.0.2:1", 200), ("[fe80::1]:1", 200), ("box", 200), ("evil.example", 403)):
        assert other.get("jobs", headers={"host": host}).status_code == status


def test_headers_of_every_answer(client: TestClient) -> None:
    for path in ("", "jobs", "assets/serve.js", "nothing", "http://127.0.0.1:8017/"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


def test_an_address_without_its_last_slash(client: TestClient) -> None:
    answer = client.get("http://127.0.0.1:8017/a-token", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/a-token/")
