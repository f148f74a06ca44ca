"""Print where the package is imported from."""

from __future__ import annotations

import cereal_methods

print(cereal_methods.__file__)
