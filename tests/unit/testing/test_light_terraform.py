from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from terralive_terraform.runs.environment import holds_provider
from terralive_testing.machine.certificates import Authority
from terralive_testing.machine.light import schema_server
from terralive_testing.machine.light.schema_recording import kinds_in, of_kinds, recorded_schema
from terralive_testing.machine.light.terraform import light_mirror

PLUGIN = Path("registry.terraform.io/hashicorp/aws/5.0.0/linux_amd64/terraform-provider-aws_v5")
# A plugin that tells a schema says so first. Whoever starts it without a question is told `real`.
TELLS = '#!/bin/sh\n[ "$TF_PLUGIN_MAGIC_COOKIE" ] || { echo "real $@"; exit; }\nexec %s\nexit\n'
IS_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


def field(number: int, content: bytes) -> bytes:
    """Return a field of protocol buffers with a length."""
    size, head = len(content), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + content


def entry(number: int, name: str, size: int = 10) -> bytes:
    """Return an entry of a map: a kind and its schema, which is not looked into."""
    return field(number, field(1, name.encode()) + field(2, b"s" * size))


PROVIDER, CAPABILITIES = field(1, b"provider"), field(6, b"capabilities")
# More than a connection takes before the client has answered.
QUEUE = entry(2, "aws_sqs_queue", 300_000)
CALLER = entry(3, "aws_caller_identity")
# No file of this repository has this word, so the light mirror leaves it out.
UNUSED = "AWS_UNUSED_KIND".lower()
SCHEMA = PROVIDER + QUEUE + entry(2, UNUSED) + CALLER + CAPABILITIES
ALL_KINDS = {"aws_sqs_queue", "aws_caller_identity", UNUSED}
ASK = f"""
import pathlib, sys
from terralive_testing.machine.light.schema_recording import recorded_schema
sys.stdout.buffer.write(recorded_schema(pathlib.Path(sys.argv[1]), {ALL_KINDS!r}))
"""


def mirror_with(folder: Path, text: str) -> Path:
    plugin = folder / PLUGIN
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"{text}\n{'#' * 2_000_000}", "utf-8")
    plugin.chmod(0o755)
    plugin.with_name("LICENSE.txt").write_text("a licence", "utf-8")
    return folder


def server_of(folder: Path, schema: bytes) -> str:
    """Return the command line of a plugin with this schema."""
    folder.mkdir()
    (folder / schema_server.SCHEMA).write_bytes(schema)
    Authority.create(folder, "localhost")
    return shlex.join([sys.executable, "-I", "-S", schema_server.__file__, str(folder)])


def test_a_plugin_of_the_light_mirror_is_small_and_becomes_the_real_one(tmp_path: Path) -> None:
    light = light_mirror(
        mirror_with(tmp_path / "it's a mirror", '#!/bin/sh\necho "real $@"\nexit'), tmp_path
    )
    assert holds_provider(light)
    assert (light / PLUGIN).stat().st_size < 1000
    ran = subprocess.run([light / PLUGIN, "a b"], capture_output=True, text=True, check=True)
    assert ran.stdout == "real a b\n"
    assert (light / PLUGIN).with_name("LICENSE.txt").read_text("utf-8") == "a licence"


def test_it_is_made_once_and_again_for_another_plugin(tmp_path: Path) -> None:
    mirror = mirror_with(tmp_path / "mirror", "#!/bin/sh\nexit")
    light = light_mirror(mirror, tmp_path)
    assert light_mirror(mirror, tmp_path) == light
    (mirror / PLUGIN).write_text("another one", "utf-8")
    other = light_mirror(mirror, tmp_path)
    assert other != light
    assert (other / PLUGIN).read_text("utf-8") == "another one"
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(
        ["mirror", light.parent.name, other.parent.name]
    )


@IS_LINUX
def test_the_first_start_of_a_process_tells_the_schema_and_the_others_are_the_real_plugin(
    tmp_path: Path,
) -> None:
    mirror = mirror_with(tmp_path / "mirror", TELLS % server_of(tmp_path / "of it", SCHEMA))
    plugin = light_mirror(mirror, tmp_path) / PLUGIN

    # All are children of this process, as they are of one run of Terraform.
    assert recorded_schema(plugin, ALL_KINDS) == PROVIDER + QUEUE + CALLER + CAPABILITIES
    for _ in range(2):
        ran = subprocess.run([plugin, "a b"], capture_output=True, text=True, check=True)
        assert ran.stdout == "real a b\n"
    assert recorded_schema(plugin, ALL_KINDS) == SCHEMA
    another = subprocess.run([sys.executable, "-c", ASK, plugin], capture_output=True, check=True)
    assert another.stdout == PROVIDER + QUEUE + CALLER + CAPABILITIES


def test_runs_that_have_ended_are_forgotten(tmp_path: Path) -> None:
    mirror = mirror_with(tmp_path / "mirror", TELLS % server_of(tmp_path / "of it", SCHEMA))
    runs = light_mirror(mirror, tmp_path).parent / PLUGIN.name / "runs"
    (runs / "1-5").touch()
    (runs / "99999999-5").touch()
    light_mirror(mirror, tmp_path)
    assert [file.name for file in runs.iterdir()] == ["1-5"]


def test_only_the_kinds_that_are_named_are_kept() -> None:
    assert of_kinds(SCHEMA, {"aws_sqs_queue"}) == PROVIDER + QUEUE + CAPABILITIES
    assert of_kinds(SCHEMA, {"aws_vpc"}) is None


def test_kinds_are_found_in_files_of_some_suffixes(tmp_path: Path) -> None:
    for name, text in {
        "a/main.tf": 'resource "aws_sqs_queue" "jobs" {}',
        "b/test.py": "x = '''data.aws_ami.this'''",
        "b/.venv/lib.py": "aws_vpc",
        "b/notes.md": "aws_subnet",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    (tmp_path / "a" / "gone.tf").symlink_to(tmp_path / "missing.tf")
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "missing"]
    assert kinds_in(folders, {".tf", ".py"}) == {"aws_sqs_queue", "aws_ami"}
