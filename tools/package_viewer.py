"""Put NiiVue, the viewer of the reports, into the package: fetch it with npm, check its hashes, compress it.

Run after the version or a hash here has been changed; the two hashes are those of the release that was looked at.
"""

import base64
import gzip
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.69.0"
INTEGRITY = "sha512-YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
MEMBER = "package/dist/niivue.umd.js"
TARGET = Path(__file__).parents[1] / "src/tunetseg/report/assets/niivue.js.gz"


def main() -> None:
    """Write the asset and print the hash that `tunetseg.report.assets` checks."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"@niivue/niivue@{VERSION}"], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != INTEGRITY:
            raise SystemExit(f"{archive.name}: {found}, but {INTEGRITY} is expected")
        with tarfile.open(archive) as files:
            member = files.extractfile(MEMBER)
            assert member is not None
            script = member.read()
    TARGET.write_bytes(gzip.compress(script, 9, mtime=0))
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, SHA-256 of the script {hashlib.sha256(script).hexdigest()}")


if __name__ == "__main__":
    main()
