"""What the tests of the history share: places to keep one, a PostgreSQL server among them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SETTINGS = {"alpha": 0.01, "seed": 0}
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/local/pgsql/bin")


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def postgresql_programs() -> Path | None:
    """The folder of initdb and pg_ctl, None where no PostgreSQL server is installed."""
    found = [p for pattern in _FOLDERS for p in sorted(Path("/").glob(pattern[1:] + "/initdb"))]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path))
    return found[-1].resolve().parent if found else None


@contextlib.contextmanager
def postgresql_server(programs: Path) -> Iterator[str]:
    """Start a server nobody else can reach; gives the URL of its databases, to be completed."""
    folder = Path(tempfile.mkdtemp(prefix="hessay-pg-"))
    prefix: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        prefix = ["runuser", "-u", "postgres", "--"]
    data, log = folder / "data", folder / "log"
    options = f"-c listen_addresses= -c unix_socket_directories={folder}"

    def call(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    call("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    call("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
    try:
        yield f"postgresql://postgres@/{{}}?host={folder}"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
