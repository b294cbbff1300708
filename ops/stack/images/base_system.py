"""The file system of a minimal Debian 12, made by debootstrap: the root of every stand-in.

Owns what is in it, and what is taken out again to be as slim as the public image.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.images.commands import need, run
from schemas.errors import ConfigurationError

_SUITE = "bookworm"
_DEBOOTSTRAP_SECONDS_MAX = 1800.0  # 25 s; 60 MB of packages over a slow line
_CHROOT_SECONDS_MAX = 120.0
_IMPORT_SECONDS_MAX = 300.0  # 1 s
_HINT = "`make services` installs what is missing on Debian."

# Certificates that this machine trusts beside the public ones: a company's proxy's, say. What is
# built in a container goes out the same way as what is built here.
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")

# Packages are installed once: neither their archives nor their manuals are wanted in an image.
_SETTINGS = {
    "etc/apt/apt.conf.d/image": """\
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
""",
    "etc/dpkg/dpkg.cfg.d/image": """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
""",
}
_SURPLUS = (
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "var/log",
)


def local_certificates() -> dict[str, bytes]:
    """Certificates that only this machine's administrator vouches for, by file name."""
    return {path.name: path.read_bytes() for path in sorted(LOCAL_CERTIFICATES.glob("*.crt"))}


def import_base(image: str, label: str) -> None:
    """Make the system and give it to the engine as an image.

    Parameters
    ----------
    image : str
        Its name.
    label : str
        `name=value`, to tell it from the public image.

    Raises
    ------
    ConfigurationError
        debootstrap is missing or fails, or this is not root.
    """
    with _base_system() as root:
        archive = root.parent / "root.tar"
        run(["tar", "--numeric-owner", "-C", root, "-cf", archive, "."], _IMPORT_SECONDS_MAX)
        changes = ["--change", 'CMD ["bash"]', "--change", f"LABEL {label}"]
        run(["docker", "import", *changes, archive, image], _IMPORT_SECONDS_MAX)


@contextmanager
def _base_system() -> Iterator[Path]:
    debootstrap = need("debootstrap", _HINT)
    if os.geteuid() != 0:
        raise ConfigurationError(
            "debootstrap needs root to make a file system.", hint="Run this as root."
        )
    with tempfile.TemporaryDirectory(prefix="everscore-base-") as folder:
        root = Path(folder) / "root"
        run(
            [debootstrap, "--variant=minbase", "--include=ca-certificates", _SUITE, root],
            _DEBOOTSTRAP_SECONDS_MAX,
        )
        for name, certificate in local_certificates().items():
            (root / LOCAL_CERTIFICATES.relative_to("/") / name).write_bytes(certificate)
        run(["chroot", root, "update-ca-certificates"], _CHROOT_SECONDS_MAX)
        for surplus in _SURPLUS:
            _empty(root / surplus)
        for copyright_or_not in (root / "usr/share/doc").rglob("*"):
            if copyright_or_not.is_file() and copyright_or_not.name != "copyright":
                copyright_or_not.unlink()
        for name, text in _SETTINGS.items():
            (root / name).write_text(text)
        yield root


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
