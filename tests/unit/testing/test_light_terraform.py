from __future__ import annotations

import subprocess
from pathlib import Path

from terralive_terraform.runs.environment import holds_provider
from terralive_testing.machine.light_terraform import light_mirror

PLUGIN = Path("registry.terraform.io/hashicorp/aws/5.0.0/linux_amd64/terraform-provider-aws_v5")


def mirror_with(folder: Path, size: int) -> Path:
    plugin = folder / PLUGIN
    plugin.parent.mkdir(parents=True)
    plugin.write_text('#!/bin/sh\necho "real $@"\nexit\n' + "#" * size, "utf-8")
    plugin.chmod(0o755)
    plugin.with_name("LICENSE.txt").write_text("a licence", "utf-8")
    return folder


def test_a_plugin_of_the_light_mirror_is_small_and_becomes_the_real_one(tmp_path: Path) -> None:
    light = light_mirror(mirror_with(tmp_path / "it's a mirror", 2_000_000), tmp_path)
    assert holds_provider(light)
    assert (light / PLUGIN).stat().st_size < 1000
    ran = subprocess.run([light / PLUGIN, "a b"], capture_output=True, text=True, check=True)
    assert ran.stdout == "real a b\n"
    assert (light / PLUGIN).with_name("LICENSE.txt").read_text("utf-8") == "a licence"


def test_it_is_made_once_and_again_for_another_plugin(tmp_path: Path) -> None:
    mirror = mirror_with(tmp_path / "mirror", 2_000_000)
    light = light_mirror(mirror, tmp_path)
    assert light_mirror(mirror, tmp_path) == light
    (mirror / PLUGIN).write_text("another one", "utf-8")
    other = light_mirror(mirror, tmp_path)
    assert other != light
    assert (other / PLUGIN).read_text("utf-8") == "another one"
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(
        ["mirror", light.name, other.name]
    )
