"""The address that the server listens on, and the token that clients must send."""

import ipaddress
import socket

from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import ConfigError
from metadialog.runs.reading import MIB, read_text

LEAST_TOKEN = 16
"""Minimum length of a token, characters."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(token_file: str | None, host: str) -> str | None:
    """Return the token in a file; None without a file.

    Raises:
        ConfigError: the file holds no token, or there is none although other machines reach the host.
        RunError: the file cannot be read.
    """
    if token_file is None:
        if not is_loopback(host):
            raise ConfigError(
                f"host={host}: other machines could reach it, so clients must know a token; name a file that "
                "holds one with token_file=FILE, or leave host as it is"
            )
        return None
    file = expand(token_file, "token_file")
    refuse_special(file, "token_file")
    token = read_text(file, MIB, "token").strip()
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"token_file={file}: should hold one token of {LEAST_TOKEN} letters and digits or more, on one line"
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: the address is in use, or does not exist.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that could be looked up
        problem = getattr(error, "strerror", None) or error
        raise ConfigError(f"host={host} port={port}: cannot be listened on: {problem}") from error
    return listening
