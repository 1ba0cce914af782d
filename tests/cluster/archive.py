"""Writes a Docker archive (what `docker save` writes) from layers of files, without a Docker daemon."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_EPOCH = "2026-01-01T00:00:00Z"


@dataclass
class Layer:
    """One layer: files by their path in the image, links, directories."""

    files: Mapping[str, Path | bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The layer as a tar archive; the same content gives the same bytes."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, mode in self.folders.items():
                tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
            for name, source in self.files.items():
                content = source if isinstance(source, bytes) else source.read_bytes()
                entry = _entry(name, tarfile.REGTYPE, 0o755)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            for name, target in self.links.items():
                entry = _entry(name, tarfile.SYMTYPE, 0o777)
                entry.linkname = target
                tar.addfile(entry)
        return out.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.type, entry.mode = kind, mode
    return entry


@dataclass
class Image:
    """One image: its name, its layers from the bottom, and the `config` of the image specification."""

    name: str
    layers: Sequence[Layer]
    config: Mapping[str, Any]


def write(path: Path, images: Sequence[Image]) -> None:
    """Write all images into one archive; a layer that several images share is written once."""
    packed: dict[int, tuple[str, bytes]] = {}
    written: set[str] = set()
    manifest = []
    with tarfile.open(path, "w") as tar:

        def add(name: str, content: bytes) -> None:
            if name not in written:
                written.add(name)
                entry = _entry(name, tarfile.REGTYPE, 0o644)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

        for image in images:
            sums = []
            for layer in image.layers:
                if id(layer) not in packed:
                    content = layer.pack()
                    packed[id(layer)] = (hashlib.sha256(content).hexdigest(), content)
                total, content = packed[id(layer)]
                add(f"{total}/layer.tar", content)
                sums.append(total)
            config = _config(image, sums)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            add(name, config)
            files = [f"{total}/layer.tar" for total in sums]
            manifest.append({"Config": name, "RepoTags": [image.name], "Layers": files})
        add("manifest.json", json.dumps(manifest).encode())


def _config(image: Image, sums: Sequence[str]) -> bytes:
    content = {
        "architecture": "amd64",
        "os": "linux",
        "created": _EPOCH,
        # The name makes two images of equal layers two different images.
        "config": {**image.config, "Labels": {"name": image.name}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{total}" for total in sums]},
        "history": [{"created_by": "tests/cluster"}] * len(sums),
    }
    return json.dumps(content, sort_keys=True).encode()
