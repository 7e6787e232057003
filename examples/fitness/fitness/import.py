"""`python -m fitness.import`."""

import sys

from fitness.importing import main

if __name__ == "__main__":
    sys.exit(main())
