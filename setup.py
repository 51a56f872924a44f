"""Which folder of the checkout is which package: the rooms stand at the top, and install under the one name moesaic."""

from setuptools import find_packages, setup

ROOMS = ("spec", "model", "hls", "sim", "host", "configs")

setup(
    package_dir={"moesaic": "moesaic", **{f"moesaic.{room}": room for room in ROOMS}},
    packages=[
        *find_packages(include=["moesaic", "moesaic.*"]),
        *(f"moesaic.{name}" for name in find_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])),
    ],
)
