"""Look for known vulnerabilities in what is installed here, with pip-audit.

The package under test is left out: it is what depends on the others. Exits with 1 for a
vulnerability. Where the service does not answer for a package, it says that nothing was
audited, and exits with 1 as well, or with 0 if ``AUDIT_MAY_FAIL_TO_REACH`` is set: only
the service's absence is forgiven then, never what it has found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

OWN = "django-cereal-methods"


def main() -> int:
    """Audit, and return the exit status."""
    wanted = sorted({f"{found.name}=={found.version}" for found in distributions()} - {None})
    wanted = [line for line in wanted if not line.startswith(f"{OWN}==")]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(wanted))
        command = [sys.executable, "-m", "pip_audit", "-r", str(requirements), "--no-deps"]
        command += ["--disable-pip", "--progress-spinner=off", "--format=json", "--timeout=15"]
        done = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)["dependencies"]
    except ValueError:
        report = []
    skipped = [entry["name"] for entry in report if "skip_reason" in entry]
    bad = [entry for entry in report if entry.get("vulns")]
    for entry in bad:
        for found in entry["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{entry['name']} {entry['version']}: {found['id']}, fixed in {fixed}")
    if bad:
        return 1
    if report and not skipped:
        print(f"{len(report)} packages: no known vulnerabilities.")
        return 0
    print("*" * 78)
    print("NOT AUDITED. The vulnerability service did not answer for")
    print(f"{', '.join(skipped) or 'any package'}.")
    if not report:
        print(done.stderr[-1000:])
    print("Nothing is known about them. Run `tox run -e audit` where it can be reached.")
    print("*" * 78)
    return 0 if os.environ.get("AUDIT_MAY_FAIL_TO_REACH") else 1


if __name__ == "__main__":
    sys.exit(main())
