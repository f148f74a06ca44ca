"""Fill the current directory with links to the checkout's files, but not to the package.

tox runs in such a directory, where ``import cereal_methods`` finds what was installed:
also under ``python -m`` and ``python -c``, and in Celery's workers, all of which look in
the directory that they are started in first.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: The package itself, and what others leave behind in a checkout.
LEFT_OUT = {"cereal_methods", "build", "dist"}

for path in Path(sys.argv[1]).iterdir():
    name = path.name
    is_left_out = name in LEFT_OUT or name.startswith(".") or name.endswith(".egg-info")
    if not is_left_out and not Path(name).is_symlink():
        Path(name).symlink_to(path)
