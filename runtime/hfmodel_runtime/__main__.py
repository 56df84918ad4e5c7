"""`python -m hfmodel_runtime`."""

import sys

from hfmodel_runtime.main import main

if __name__ == "__main__":
    sys.exit(main())
