"""``python -m modelslo.controller`` is ``modelslo run``."""

from __future__ import annotations

import sys

from modelslo.controller.main import main

if __name__ == "__main__":
    sys.exit(main())
