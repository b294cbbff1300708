#!/bin/sh
# Redis as its own user, and directly below Docker, so that signals reach it.
set -eu

case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown -R redis:redis .
    exec setpriv --reuid=redis --regid=redis --init-groups -- "$0" "$@"
fi

umask 0077
exec "$@"
