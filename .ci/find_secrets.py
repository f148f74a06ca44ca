"""Look for secrets in the files that git knows, with detect-secrets; exit with 1 for any.

What is no secret is either plain words, as the keys of the tests are, or is marked on its
line with ``pragma: allowlist secret``.
"""

from __future__ import annotations

import subprocess
import sys

#: Django's key where it is made of words.
WORDS = r"""SECRET_KEY['"]?\s*[=:,]\s*['"][a-z]+([ _-][a-z]+)*['"]"""

listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
files = [name for name in listed.stdout.split("\0") if name]
command = ["detect-secrets-hook", "--exclude-lines", WORDS, *files]
status = subprocess.run(command).returncode
print(f"{len(files)} files: {'secrets were found.' if status else 'no secrets.'}")
sys.exit(status)
