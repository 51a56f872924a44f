"""Classes of other distributions by their entry points, and what is said of those that do not suit."""

import sys

import pytest

from moesaic.errors import UserError
from moesaic.extensions import Extensions


class Animal:
    name = ""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution of this name with these entry points, and a module `creatures`."""
    (tmp_path / "creatures.py").write_text(
        "from tests.moesaic.test_extensions import Animal\n"
        "class Dog(Animal):\n    name = 'dog'\n"
        "class Stone:\n    name = 'stone'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "creatures", raising=False)

    def install(distribution, **entries):
        directory = tmp_path / f"{distribution}-1.0.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (directory / "entry_points.txt").write_text("\n".join(["[test.animals]", *lines]) + "\n")
        return Extensions("test.animals", Animal, "animal", "name")

    return install


def test_a_class_is_found_by_its_name_and_loaded_when_it_is_asked_for(installed):
    animals = installed("zoo", dog="creatures:Dog", cat="nowhere:Cat")
    assert animals.names == ("cat", "dog")
    assert animals.load("dog").name == "dog" and animals.load("dog") is animals.load("dog")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cow", "unknown animal 'cow': choose bitch, cat, dog, stone, wolf, or install the package that brings it"),
        ("cat", "animal 'cat' of nowhere:Cat cannot be imported .*'nowhere'.*: correct its package"),
        ("wolf", "animal 'wolf' of creatures:Wolf cannot be imported .*Wolf.*: correct its package"),
        ("stone", "animal 'stone' of creatures:Stone is no class derived from .*Animal: correct it"),
        ("bitch", "animal 'bitch' of creatures:Dog has name = 'dog': call the entry point and the class the same"),
    ],
)
def test_what_does_not_suit_is_named(installed, name, words):
    animals = installed(
        "zoo",
        dog="creatures:Dog",
        cat="nowhere:Cat",
        wolf="creatures:Wolf",
        stone="creatures:Stone",
        bitch="creatures:Dog",
    )
    with pytest.raises(UserError, match=words):
        animals.load(name)


def test_two_of_a_name_are_refused(installed):
    installed("zoo", dog="creatures:Dog")
    animals = installed("farm", dog="creatures:Dog")
    with pytest.raises(UserError, match="animal 'dog' comes from creatures:Dog and from creatures:Dog: uninstall one"):
        animals.names  # noqa: B018 (reads the entry points)


def test_an_installation_older_than_its_sources_says_so():
    with pytest.raises(UserError, match=r"no animal is installed: .* install again: pip install -e \."):
        Extensions("test.nothing", Animal, "animal", "name").names  # noqa: B018 (reads the entry points)
