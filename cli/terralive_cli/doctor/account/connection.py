"""The way to a WebSocket endpoint of API Gateway, through the proxy and the trust store.

The request has no signature, so API Gateway refuses it before anything runs. An answer of API
Gateway itself is all that is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from terralive_cli.doctor.findings import Finding, Outcome, failed
from terralive_cli.network.endpoint import is_aws
from terralive_cli.network.trust import relay_trust
from terralive_relay.connection.probe import OPEN, Answer, ask
from terralive_stub.stub.transport import HANDSHAKE_REFUSED

# API Gateway puts one of these into every answer:
# https://repost.aws/knowledge-center/api-gateway-troubleshoot-403-forbidden
_GATEWAY_HEADERS: Final = ("x-amzn-requestid", "apigw-requestid", "x-amzn-errortype")
# No API has this id.
_NO_API: Final = "terralive0"
_WHY: Final = "The relay on this machine gets every invocation by a WebSocket of API Gateway."


def addresses(region: str, suffix: str) -> tuple[str, ...]:
    """Return the addresses of API Gateway in a region, before there is a debug stack.

    The second one is the endpoint of the region itself:
    https://docs.aws.amazon.com/general/latest/gr/apigateway.html

    Args:
        region: the region.
        suffix: the domain of the region's partition (`amazonaws.com`).
    """
    host = f"execute-api.{region}.{suffix}"
    return (f"wss://{_NO_API}.{host}/relay", f"wss://{host}/")


def check_connection(urls: Sequence[str], proxy: str) -> Outcome:
    """Ask for a WebSocket at one address after the other, until API Gateway answers.

    Args:
        urls: the addresses. Whether the first one's name is known depends on AWS, or on the proxy.
        proxy: the proxy that is used; "" for none.

    Raises:
        ConfigurationError: `ca-bundle-unreadable`.
    """
    answer, url = Answer(), ""
    for url in urls:
        answer = ask(url, relay_trust(url))
        if _is_of_gateway(url, answer):
            break
    return connection_outcome(url, answer, proxy)


def proxy_of(url: str, environ: Mapping[str, str]) -> str:
    """Return the proxy that websocket-client uses; "" for none.

    https://websocket-client.readthedocs.io/en/latest/examples.html#connecting-through-a-proxy

    Args:
        url: the address of a WebSocket.
        environ: the environment of this process.
    """
    host = urlsplit(url).hostname or ""
    name = "http_proxy"
    if url.startswith("wss:"):
        name = "https_proxy"
    if proxy_bypass(host):
        return ""
    return environ.get(name) or environ.get(name.upper(), "")


def connection_outcome(url: str, answer: Answer, proxy: str) -> Outcome:
    """Return the result for an answer."""
    host = urlsplit(url).hostname or url
    way = ""
    if proxy:
        way = f" through the proxy {_without_password(proxy)}"
    if _is_of_gateway(url, answer):
        return Outcome(f"{host} answers{way}")
    finding: Finding
    if answer.is_untrusted:
        finding = failed(
            "certificate-untrusted",
            f"{answer.error}.",
            why=_WHY,
            fix="If a proxy of your organisation answers for AWS, set AWS_CA_BUNDLE to a file with "
            "the proxy's certificate authority.",
        )
    elif answer.status:
        finding = failed(
            "websocket-blocked",
            f"{host} answers{way}, but it is not API Gateway: HTTP {answer.status}.",
            why=_WHY,
            fix="Ask who runs the proxy to let WebSockets (the header `Upgrade: websocket`) to "
            "*.execute-api.REGION.amazonaws.com through.",
        )
    else:
        fix = "Check the network. If a proxy leads out of it, set HTTPS_PROXY to its address."
        if proxy:
            fix = (
                "Ask who runs the proxy to let CONNECT to *.execute-api.REGION.amazonaws.com:443 "
                "through. Where no proxy is needed for it, name the domain in NO_PROXY."
            )
        finding = failed(
            "websocket-unreachable",
            f"{host} does not answer{way}: {answer.error}.",
            why=_WHY,
            fix=fix,
        )
    return Outcome("no way to API Gateway", (finding,))


def _is_of_gateway(url: str, answer: Answer) -> bool:
    if answer.status == OPEN:
        return True
    if not is_aws(url):
        # An emulator refuses a request without a signature, and has no such headers.
        return answer.status in HANDSHAKE_REFUSED
    return any(name in answer.headers for name in _GATEWAY_HEADERS)


def _without_password(proxy: str) -> str:
    parts = urlsplit(proxy)
    if not parts.hostname:
        return "of this shell"
    if parts.port is None:
        return parts.hostname
    return f"{parts.hostname}:{parts.port}"
