"""``python -m hessay.cli``, for where the script is not on the path."""

import sys

from hessay.cli import main

sys.exit(main())
