#!/bin/sh
# What the real servers and their containers need beside Python, the compiler of our own modules, what
# counts their instructions and a browser for tests of the console, installed on Debian where it is
# missing; `make services` runs it.
# Starts nothing: a server package would begin to listen at once.
set -eu

wanted="
java:openjdk-17-jre-headless
mvn:maven
redis-server:redis-server
docker:docker.io
dockerd:docker.io
docker-compose:docker-compose
debootstrap:debootstrap
gcc:gcc
valgrind:valgrind
python3-config:python3-dev
chromium:chromium
"

missing=""
for pair in $wanted; do
    program=${pair%%:*} package=${pair#*:}
    # Compose's second version is a plugin of docker's.
    if [ "$program" = docker-compose ] && docker compose version >/dev/null 2>&1; then
        continue
    fi
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 && continue
    case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done

if [ -z "$missing" ]; then
    echo "services: everything is there"
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "services: missing are$missing (names of Debian's packages)." >&2
    echo "services: on Debian, as root, this command installs them; what needs them is skipped" >&2
    exit 0
fi

# Packages ask this program whether they may start what they have installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
echo "services: installing$missing"
apt-get update --quiet=2
# shellcheck disable=SC2086 # names of packages are words
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends $missing
