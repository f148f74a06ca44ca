"""Check what is in the one sdist of a directory: the package, and what explains it."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "MANIFEST.in",
    "PKG-INFO",
    "README.md",
    "cereal_methods",
    "django_cereal_methods.egg-info",
    "pyproject.toml",
    "setup.cfg",
}

(sdist,) = Path(sys.argv[1]).glob("*.tar.gz")
with tarfile.open(sdist) as archive:
    names = [Path(member.name).parts[1:] for member in archive if member.isfile()]
found = {parts[0] for parts in names}
package = {Path(*parts).as_posix() for parts in names if parts[0] == "cereal_methods"}
checkout = {
    path.as_posix()
    for path in Path("cereal_methods").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
if found != TOP or package != checkout:
    wrong = sorted((found ^ TOP) | (package ^ checkout))
    sys.exit(f"{sdist.name} has, or lacks, what it should not: {', '.join(wrong)}")
print(f"{sdist.name}: {len(names)} files, as they should be.")
