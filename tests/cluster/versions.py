"""Every version that the test clusters pin, in one place. They are part of the cache keys."""

KUBERNETES = "v1.35.4"
"""The release that `kube/go.mod` requires."""
COREDNS = "v1.13.1"
KIND = "v0.32.0"
DEBIAN = "bookworm"
PYTHON = "3.11"
PYTHON_IMAGE = f"python:{PYTHON}-slim"
