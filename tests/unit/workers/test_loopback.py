from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from terralive_workers.loopback import Socket, find_socket, other_users

pytestmark = pytest.mark.skipif(
    sys.byteorder != "little", reason="the kernel's table has addresses in the machine's byte order"
)
CLIENT = ("127.0.0.1", 42958)
SERVER = ("127.0.0.1", 42449)
# As Linux shows both ends of a connection: the server's, then the client's.
SERVERS_END = "  0: 0100007F:A5D1 0100007F:A7CE 01 00000000:00000000 00:0 00000000  0 0 900 1"
CLIENTS_END = "  1: 0100007F:A7CE 0100007F:A5D1 01 00000000:00000000 00:0 00000000  1000 0 901 1"


def test_the_owner_is_that_of_the_other_end() -> None:
    assert find_socket([SERVERS_END, CLIENTS_END], CLIENT, SERVER) == Socket(1000, 901)
    assert find_socket([SERVERS_END, CLIENTS_END], SERVER, CLIENT) == Socket(0, 900)


def test_a_socket_for_ipv6_with_an_ipv4_address_is_found() -> None:
    mapped = "0000000000000000FFFF00000100007F"
    line = CLIENTS_END.replace("0100007F", mapped)
    assert find_socket([line], CLIENT, SERVER) == Socket(1000, 901)


def test_a_socket_that_its_process_has_closed_has_no_owner() -> None:
    """Linux lists it as root's, so it must not count as a connection of root."""
    closed = CLIENTS_END.replace("1000 0 901", "   0 0   0")
    assert find_socket([SERVERS_END, closed], CLIENT, SERVER) is None


def test_a_connection_that_is_not_in_the_table_has_no_owner() -> None:
    assert find_socket([SERVERS_END, CLIENTS_END], ("127.0.0.1", 1), SERVER) is None
    assert find_socket([], CLIENT, SERVER) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
def test_other_users_are_people_outside_of_containers(tmp_path: Path) -> None:
    for number, owner, group in (
        (1, 0, "/"),
        (2, 33, "/system.slice/nginx.service"),
        (3, 54321, "/user.slice/user-54321.slice"),
        (4, 54322, "/system.slice/docker-4f1c.scope"),
        (5, 65534, "/"),
    ):
        process = tmp_path / str(number)
        process.mkdir()
        (process / "cgroup").write_text(f"0::{group}\n")
        os.chown(process, owner, owner)
    (tmp_path / "self").mkdir()
    assert other_users(tmp_path) == ("54321",)
    assert other_users(tmp_path / "missing") == ()
