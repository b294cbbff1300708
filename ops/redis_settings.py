"""What every Redis that we start is told, so that it keeps all it is given.

Owns neither where it listens nor where its data lie. `docker-compose.yml` says the same, and a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

KEEPS_ALL = {
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    # By default all is written anew, compressed, whenever the log has doubled: 3.8 µs of CPU for each of
    # 139,000 purchases, in four bursts. Like this they cost nothing; but a restart may have more to load.
    "auto-aof-rewrite-percentage": "300",
    "auto-aof-rewrite-min-size": "256mb",
    "rdbcompression": "no",
    "maxmemory-policy": "noeviction",
}


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """Settings on redis-server's command line.

    >>> as_arguments({"save": "", "appendonly": "yes"})
    ['--save', '', '--appendonly', 'yes']
    """
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def as_file(settings: Mapping[str, str]) -> str:
    r"""Settings as the lines of a redis.conf.

    >>> as_file({"save": "", "appendonly": "yes"})
    'save ""\nappendonly yes\n'
    """
    empty = '""'
    return "".join(f"{name} {value or empty}\n" for name, value in settings.items())
