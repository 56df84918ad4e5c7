"""`python -m hfmodel_router`."""

import sys

from hfmodel_router.main import main

sys.exit(main())
