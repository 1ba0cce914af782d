"""Names that the cluster sees: group, labels, annotations. They are stable, people select and alert by them."""

from __future__ import annotations

import hashlib
from typing import Final

GROUP: Final = "modelslo.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "ModelSLO"
PLURAL: Final = "modelslos"

FIELD_MANAGER: Final = "modelslo-operator"

LABEL_MODEL: Final = "modelslo.dev/model"
LABEL_OPERATION: Final = "modelslo.dev/operation"
ANNOTATION_OPERATION: Final = "modelslo.dev/operation"
ANNOTATION_APPROVE: Final = "modelslo.dev/approve"

# A label value has at most 63 characters, the name of a ModelSLO up to 253.
_LABEL_LENGTH: Final = 63
_DIGEST_LENGTH: Final = 10


def label_value(name: str) -> str:
    """`name` as the value of a label: itself, or shortened with a digest that keeps two long names apart."""
    if len(name) <= _LABEL_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: _LABEL_LENGTH - _DIGEST_LENGTH - 1].rstrip('.-')}-{digest}"
