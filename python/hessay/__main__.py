"""``python -m hessay``: the command line, for where its script is not on the path."""

import sys

from hessay.cli import main

sys.exit(main())
