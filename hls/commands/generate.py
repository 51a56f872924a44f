"""The command `moesaic generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.hls.commands.joint_options import add_joint_options, result_sets
from moesaic.hls.compiler.generate import generate
from moesaic.hls.hardware.resource_estimate import Resources, judge
from moesaic.spec.bundle import load_bundle, pathways
from moesaic.spec.configuration import load_configuration


class GenerateCommand:
    """Makes a build from a bundle and a hardware configuration."""

    name = "generate"
    help = "turn a bundle into a build: programs, weights and accelerator sources for a hardware configuration"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, help="bundle directory, from `moesaic export`")
        parser.add_argument("--config", default="tiny", help="name in configs/ or path of a TOML file (default: tiny)")
        parser.add_argument("--output", type=Path, help="build directory (default: build/<model>-<configuration>)")
        add_joint_options(parser, several=True)
        parser.add_argument("--observe", action="store_true", help="also store every layer's result, for verification")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        configuration = load_configuration(arguments.config)
        bundle = load_bundle(arguments.bundle)
        joint = result_sets(pathways(bundle.tasks), arguments.joint, arguments.batch)
        build = generate(bundle, configuration, observe=arguments.observe, joint=joint)
        directory = arguments.output or Path("build") / build.name
        build.save(directory)
        resources = build.report["resources"]
        print(f"{directory}: fingerprint {build.fingerprint}, tasks {', '.join(build.tasks)}")
        if build.joint:
            print(f"joint programs: {', '.join(program.label for program in build.joint)}")
        print(
            f"constants {build.report['constant_bytes']} bytes,"
            f" activations {build.report['act_bytes_peak']} of {configuration.act_bytes} bytes"
        )
        print("estimate before place and route: " + ", ".join(f"{amount} {name}" for name, amount in resources.items()))
        for judgement in judge(configuration, Resources(**resources)):
            if not judgement.kept:
                print(f"outside the guidelines: {judgement}")
        return 0
