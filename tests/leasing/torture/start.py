"""Set Django up in a new process, and go on with a module that imports models.

python -m tests.leasing.torture.start MODULE ARGUMENT...
"""

import sys

import django
from django.utils.module_loading import import_string

if __name__ == "__main__":
    django.setup()
    sys.exit(import_string(f"tests.leasing.torture.{sys.argv[1]}.main")(*sys.argv[2:]))
