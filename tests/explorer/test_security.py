"""Who may ask: hosts, origins, the token; and what answers forbid the browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from explorer.asking import get, post
from opens2v_explorer.security import TOKEN_HEADER, Guard, Hosts, content_security_policy, is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN = "secret-of-this-run"
OWN = {"Origin": "http://127.0.0.1:8501", TOKEN_HEADER: TOKEN}


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello", headers={"X-Frame-Options": "ALLOWALL"})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/explorer/verdicts", hello, methods=["GET", "POST", "DELETE"]),
        Route("/_stcore/upload_file", hello, methods=["PUT"]),
        WebSocketRoute("/_stcore/stream", socket),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, hosts=Hosts(), token=TOKEN, page="")])
    return TestClient(app, base_url="http://127.0.0.1:8501")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST:9", "[::1]", "[::1]:8501", "127.0.0.1:65535"])
def test_this_machine_is_answered_under_its_own_names(client: TestClient, host: str) -> None:
    assert client.get("/explorer/verdicts", headers={"Host": host}).text == "hello"


@pytest.mark.parametrize(
    "host",
    [
        "example.org", "127.0.0.1.example.org", "localhost.example.org", "example.org:8501", "127.0.0.2", "[::2]", "",
        "localhost:99999", "localhost:", "localhost:x", "user@localhost", "localhost/x", "localhost,example.org",
        "127.0.0.1 ", "127.1", "2130706433", "localhost.", "[::1", "10.0.0.1",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/explorer/verdicts", headers={"Host": host})
    assert (answer.status_code, answer.json()["state"]) == (403, "refused")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_request_with_two_hosts_is_refused(client: TestClient) -> None:
    answer = client.get("/explorer/verdicts", headers=[("Host", "127.0.0.1:8501"), ("Host", "example.org")])
    assert answer.status_code == 403


def test_hosts_follow_the_address_that_is_bound() -> None:
    assert Hosts.of("127.0.0.1") == Hosts()
    assert Hosts.of("127.0.0.1", ["Lab.Example.org"]).admit("lab.example.org:443")
    one = Hosts.of("192.168.7.7")
    assert one.admit("192.168.7.7:8501") and one.admit("localhost:8501") and not one.admit("evil.example.org")
    every = Hosts.of("0.0.0.0")
    assert every.admit("10.1.2.3:8501") and every.admit("[fe80::1]:8501") and not every.admit("evil.example.org")
    assert Hosts.of("::1").admit("[::1]:5") and not Hosts.of("::1").admit("10.1.2.3")
    loopback = ("localhost", "127.0.0.1", "127.8.8.8", "::1")
    assert all(map(is_loopback, loopback)) and not any(map(is_loopback, ("0.0.0.0", "::", "192.168.7.7", "lab")))


def test_a_post_of_our_own_page_is_taken(client: TestClient) -> None:
    assert client.post("/explorer/verdicts", headers=OWN).text == "hello"
    # A tunnel: the browser sees another port than the one bound.
    tunnel = {"Host": "localhost:7000", "Origin": "http://localhost:7000", TOKEN_HEADER: TOKEN}
    assert client.post("/explorer/verdicts", headers=tunnel).text == "hello"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": OWN["Origin"]},
        {TOKEN_HEADER: TOKEN},
        {"Origin": OWN["Origin"], TOKEN_HEADER: "other"},
        {"Origin": OWN["Origin"], TOKEN_HEADER: ""},
        {"Origin": "http://example.org", TOKEN_HEADER: TOKEN},
        {"Origin": "http://127.0.0.1:8502", TOKEN_HEADER: TOKEN},
        {"Origin": "http://localhost:8501", TOKEN_HEADER: TOKEN},
        {"Origin": "null", TOKEN_HEADER: TOKEN},
        {"Origin": "http://127.0.0.1:8501.example.org", TOKEN_HEADER: TOKEN},
        {"Origin": "http://127.0.0.1:8501@example.org", TOKEN_HEADER: TOKEN},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_what_changes_something_must_come_from_our_own_page(
    client: TestClient, headers: dict[str, str], method: str
) -> None:
    answer = client.request(method, "/explorer/verdicts", headers=headers)
    assert (answer.status_code, answer.headers["x-state"]) == (403, "refused")


def test_streamlits_own_routes_need_the_origin_and_not_our_token(client: TestClient) -> None:
    assert client.put("/_stcore/upload_file", headers={"Origin": OWN["Origin"]}).status_code == 200
    assert client.put("/_stcore/upload_file", headers={"Origin": "http://example.org"}).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://127.0.0.1:8501"}])
def test_our_own_pages_socket_opens(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect("/_stcore/stream", headers=headers | {"Host": "127.0.0.1:8501"}) as connected:
        assert connected.receive_text() == "hello"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:8501", "Origin": "http://example.org"},
        {"Host": "127.0.0.1:8501", "Origin": "http://localhost:3000"},
        {"Host": "example.org", "Origin": "http://example.org"},
        {"Host": "example.org"},
    ],
)
def test_other_sites_sockets_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        client.websocket_connect("/_stcore/stream", headers=headers),
    ):
        pass
    assert refused.value.code == 1008


def test_answers_forbid_what_pages_do_not_need(client: TestClient) -> None:
    headers = client.get("/explorer/verdicts").headers
    assert headers["x-frame-options"] == "DENY"  # ours, whatever the route says
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert (
        policy["connect-src"] == "'self' ws://127.0.0.1:8501 wss://127.0.0.1:8501"
        and "'unsafe-inline'" not in policy["script-src"]
    )
    assert not re.search(r"https?:|\*", headers["content-security-policy"])


def test_the_policy_knows_the_scripts_of_streamlits_page() -> None:
    assert "'sha256-" not in content_security_policy("h", "<p>none</p>")
    policy = content_security_policy("h", '<script>\n let a = 1\n</script><script type="module" src="x.js"></script>')
    assert policy.count("'sha256-") == 1


def test_the_running_explorer_is_guarded_as_a_whole(running_server: str) -> None:
    for path in ("/", "/_stcore/health", "/explorer/clip/0/poster.webp", "/explorer/verdicts/current?who=x"):
        assert get(running_server + path, headers={"Host": "example.org"}).status_code == 403
    assert post(f"{running_server}/explorer/verdicts", json=[]).status_code == 403
    page = get(running_server)
    assert len(re.findall(r"<script>", page.text)) == page.headers["content-security-policy"].count("'sha256-")
    assert get(f"{running_server}/explorer/nothing").status_code == 404  # and not Streamlit's page
    assert get(f"{running_server}/%2e%2e/%2e%2e/etc/passwd").text.count("root:") == 0
