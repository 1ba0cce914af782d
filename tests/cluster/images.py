"""Container images from ordinary Dockerfiles, built without network and loaded into the kind cluster.

`images.toml` beside this file lists them (README.md here explains the table). What a Dockerfile needs is gathered
outside and put into the build context: files of the repository, Python wheels (`wheels/`, our own in
`package/`), programs (`programs/`). The tag is a hash of all that: an image that is there is the right one.
"""

import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from tests.cluster import cache, debian, docker, kind, prometheus
from tests.cluster.cache import HERE, REPO
from tests.cluster.progress import side_by_side, step
from tests.cluster.shell import ClusterError, run
from tests.cluster.versions import PYTHON, PYTHON_IMAGE

TABLE = HERE / "images.toml"
_PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "operator/modelslo")
_PROGRAMS: Mapping[str, Callable[[], Path]] = {"prometheus": prometheus.program}
_PYTHON_PACKAGES = ("python3", "python3-venv", "ca-certificates")


@dataclass(frozen=True)
class Recipe:
    """One image: how it is called, what goes into its build context, and what it is called in the node besides."""

    name: str
    dockerfile: Path
    aliases: tuple[str, ...]
    context: tuple[str, ...] = ()
    requirements: str | None = None
    package: bool = False
    programs: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()


def recipes() -> dict[str, Recipe]:
    """The images of the table; the variants of an image follow each other, so that they share what they can."""
    table: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text())
    found: dict[str, Recipe] = {}
    for key, entry in table.items():
        if "variants" not in entry:
            found[key] = _recipe(key, entry)
        for variant, arguments in entry.pop("variants", {}).items():
            found[f"{key}:{variant}"] = _recipe(key, {**entry, "aliases": [variant], "arguments": arguments})
    return found


def _recipe(key: str, entry: dict[str, Any]) -> Recipe:
    unknown = set(entry) - {field.name for field in fields(Recipe)}
    if unknown:
        raise ClusterError(f"{TABLE.name}: [{key}] has the unknown keys {', '.join(sorted(unknown))}")
    return Recipe(
        name=entry.get("name", f"modelslo/{key}"),
        dockerfile=REPO / entry["dockerfile"],
        aliases=tuple(entry.get("aliases", ("dev",))),
        context=tuple(entry.get("context", ())),
        requirements=entry.get("requirements"),
        package=entry.get("package", False),
        programs=tuple(entry.get("programs", ())),
        arguments=tuple(sorted(entry.get("arguments", {}).items())),
    )


def chosen(names: Sequence[str]) -> list[str]:
    """The names of the table that are meant: all when none is said, all variants when the image alone is said."""
    table = recipes()
    for name in names:
        if not any(_means(name, key) for key in table):
            raise ClusterError(f"no image {name} in {TABLE.name}; there are {', '.join(table)}")
    return [key for key in table if not names or any(_means(name, key) for name in names)]


def _means(name: str, key: str) -> bool:
    return name in (key, key.partition(":")[0])


def python_base() -> str:
    """The image that PYTHON_IMAGE names: the public one where it can be pulled, else one made with debootstrap."""
    docker.ensure()
    if docker.registry_reachable():
        return PYTHON_IMAGE
    tree = debian.tree("debian-python", _PYTHON_PACKAGES, "1 min")
    tag = f"localhost/python:{PYTHON}-{tree.parent.name}"
    with cache.lock("python-base"):
        if not docker.has_image(tag):
            with step("importing the Python base image", "20 s"):
                docker.import_tree(tree, tag)
    return tag


def _wheels(requirements: Path) -> Path:
    """The wheels of a requirements file, for the images' Python."""

    def build(folder: Path) -> None:
        if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
            command: list[str | Path] = ["wheel", "--wheel-dir", folder]
        else:
            command = ["download", "--only-binary=:all:", "--python-version", PYTHON, "--dest", folder]
        run([sys.executable, "-m", "pip", *command, "--quiet", "--no-deps", "--requirement", requirements])

    return cache.artefact("wheels", [PYTHON, requirements.read_text()], build, "30 s")


def _package_wheel() -> Path:
    """The wheel of this repository's own package."""

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary)
            _copy(_PACKAGE, source)
            flags = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
            run([sys.executable, "-m", "pip", "wheel", *flags, folder, source])

    return cache.artefact("package-wheel", _sources(_PACKAGE), build, "5 s")


def _sources(patterns: Sequence[str]) -> list[Path]:
    """The files and folders of the repository that the patterns name."""
    found: list[Path] = []
    for pattern in patterns:
        matches = sorted(REPO.glob(pattern))
        if not matches:
            raise ClusterError(f"{TABLE.name}: nothing is called {pattern}")
        found += matches
    return found


def _copy(paths: Sequence[str], target: Path) -> None:
    """Copy files and folders of the repository, with the paths they have in it."""
    for path in _sources(paths):
        for file in cache.files_under(path):
            place = target / file.relative_to(REPO)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place, follow_symlinks=False)


def build(name: str) -> str:
    """Build an image of the table unless the Docker daemon has it; returns its tag, which is made from the content."""
    return build_recipe(recipes()[name])


def build_recipe(recipe: Recipe) -> str:
    """Build an image unless the Docker daemon has it; returns its tag, which is made from the content."""
    base = python_base()
    made = {"wheels": _wheels(REPO / recipe.requirements)} if recipe.requirements else {}
    if recipe.package:
        made["package"] = _package_wheel()
    programs = {program: _PROGRAMS[program]() for program in recipe.programs}
    sources = [recipe.dockerfile, *_sources(recipe.context)]
    keys = [f"{path.parent.name}/{path.name}" for path in made.values()]
    tag = f"{recipe.name}:{cache.digest([base, *keys, *sources, *programs.values(), *map(str, recipe.arguments)])}"
    with cache.lock(f"image-{recipe.name}"):
        if docker.has_image(tag):
            return tag
        with step(f"building the image {tag}", "20 s"), tempfile.TemporaryDirectory() as temporary:
            context = Path(temporary)
            _copy(recipe.context, context)
            shutil.copy2(recipe.dockerfile, context / "Dockerfile")
            for folder, path in made.items():
                shutil.copytree(path, context / folder)
            for program, path in programs.items():
                (context / "programs").mkdir(exist_ok=True)
                shutil.copy2(path, context / "programs" / program)
            docker.build(tag, context, {"PYTHON_IMAGE": base, **dict(recipe.arguments)})
    return tag


def load(*names: str) -> dict[str, str]:
    """Build images of the table and load those that the kind cluster's node does not have; gives the tag of each name.

    They are loaded all at once, since they share layers. In the node each is also known by its aliases.
    """
    wanted = chosen(names)
    tags = dict(zip(wanted, _build_all(wanted), strict=True))
    with cache.lock("kind-load"):
        there = _in_node()
        missing = [tag for tag in dict.fromkeys(tags.values()) if tag not in there]
        if missing:
            with step(f"loading {', '.join(missing)} into the node", "20 s an image"):
                run([kind.program(), "load", "docker-image", "--name", kind.NAME, *missing])
        for name, recipe in recipes().items():
            for alias in recipe.aliases if name in tags else ():
                target = f"docker.io/{recipe.name}:{alias}"
                run([*_CTR, "images", "tag", "--force", f"docker.io/{tags[name]}", target])
    return tags


_CTR = ("docker", "exec", kind.NODE, "ctr", "--namespace", "k8s.io")


def _in_node() -> set[str]:
    names = run([*_CTR, "images", "list", "--quiet"]).split()
    return {name.removeprefix("docker.io/") for name in names}


def _build_all(names: Sequence[str]) -> list[str]:
    """Build images side by side, but the variants of one after each other; the tags come in the order of the names."""
    python_base()
    tags: dict[str, str] = {}

    def family(image: str) -> None:
        tags.update((name, build(name)) for name in names if _means(image, name))

    side_by_side(*(partial(family, image) for image in dict.fromkeys(name.partition(":")[0] for name in names)))
    return [tags[name] for name in names]


def warm() -> None:
    """Build every image of the table."""
    _build_all(chosen(()))
