"""The stub for functions that are container images: its image, and its command for each function.

Pure: values in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from terralive_stub.shared.arns import place_of
from terralive_terraform.addresses import instance_key, without_keys
from terralive_terraform.artifacts import StubCoordinates
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.discovery.hcl.blocks import as_expression


@dataclass(frozen=True, slots=True)
class ImageStub:
    """The stub for functions that are container images.

    Attributes:
        images: the stub's image in the stage's region, by architecture (`x86_64`, `arm64`).
        coordinates: the settings of the stage.
        arn_prefix: the ARN of a function of the stage's account and region, without the name.
        arns: the ARNs of functions that are deployed, or whose ARN is known before they are, by
            address with instance keys.
        elsewhere: a team's own images of the stub in all regions, by architecture, with `{region}`
            in the place of the region's name.
    """

    images: Mapping[str, str]
    coordinates: StubCoordinates
    arn_prefix: str
    arns: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def command(self, function: DeclaredFunction) -> tuple[str, ...] | None:
        """Return the image's command; None where the ARN of the function is not known.

        The key of an instance (`count`, `for_each`) is looked up in a table. An instance whose ARN
        is not known finds "" there. The instances of a module have one block and cannot name their
        module's key, so they are told apart by the names of their functions.
        """
        if not function.instanced:
            arn = self._arn(function)
            if not arn:
                return None
            return self.coordinates.image_command(self.coordinates.image_key(arn))
        keys: dict[str, str] = {}
        for address, arn in self.arns.items():
            if without_keys(address) == function.address:
                instance = instance_key(address)
                if function.module_repeated:
                    instance = arn.rpartition(":")[2]
                keys[instance] = self.coordinates.image_key(arn)
        if not keys:
            return None
        index = "each.key"
        if function.module_repeated:
            index = as_expression(function.written_name)
        elif function.repeated == "count":
            index = "tostring(count.index)"
        table = json.dumps(keys).replace("${", "$${").replace("%{", "%%{")
        return self.coordinates.image_command(f'${{lookup({table}, {index}, "")}}')

    def regions(self, function: DeclaredFunction) -> frozenset[str]:
        """Return the regions of a function's instances, as far as they are known."""
        found: set[str] = set()
        for address, arn in self.arns.items():
            if without_keys(address) == function.address:
                found.add(place_of(arn).region)
        return frozenset(found)

    def image(self, function: DeclaredFunction) -> str:
        """Return the stub's image in the function's region; "" where there is none.

        Lambda takes an image from its own region only:
        https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
        """
        architecture = function.architecture or ""
        for region in self.regions(function):
            if region != place_of(self.arn_prefix).region:
                return self.elsewhere.get(architecture, "").replace("{region}", region)
        return self.images.get(architecture, "")

    def _arn(self, function: DeclaredFunction) -> str:
        if function.address in self.arns:
            return self.arns[function.address]
        if function.function_name is None or function.provider is not None:
            return ""
        return self.arn_prefix + function.function_name
