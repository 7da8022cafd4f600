#!/bin/sh
# Runs a PostgreSQL server on the loopback: postgres.sh PORT CERTIFICATE KEY [SOCKETS]
#
# With SOCKETS, a folder that its user may write, it listens at a Unix socket in it, too.
#
# Its data are in a folder of their own, which is removed with it. They are copied from a template
# in .build/spec, since to make them takes longer, and stand in memory where there is enough.
# PostgreSQL refuses to run as root, so the user `nobody` runs it then. It ends with a signal, or
# with its parent.
set -eu
port=$1 certificate=$2 key=$3 sockets=${4-}

bin=$(for each in /usr/lib/postgresql/*/bin; do echo "$each"; done | tail -n 1)
if [ -x "$bin/postgres" ]; then PATH=$bin:$PATH; fi

template=$PWD/.build/spec/postgres-$(initdb --version | tr -dc 0-9.)
available=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1) # in KiB
if [ "${available:-0}" -gt 500000 ] && [ -w /dev/shm ]; then TMPDIR=/dev/shm; export TMPDIR; fi
folder=$(mktemp -d)
server=
trap 'trap "" INT TERM; [ -z "$server" ] || kill -INT "$server" 2>/dev/null; wait || true; rm -rf "$folder"' EXIT
trap 'exit 0' INT TERM HUP

cp "$certificate" "$folder/server.crt"
cp "$key" "$folder/server.key"
chmod 600 "$folder/server.key"
as=
if [ "$(id -u)" = 0 ]; then
  chown -R nobody "$folder"
  as='setpriv --reuid=nobody --regid=nogroup --clear-groups'
fi

cd "$folder"
if [ -d "$template" ]; then
  cp -a "$template" data
else
  $as initdb -D "$folder/data" -U specs --auth=trust --no-sync --no-instructions --locale=C \
    --wal-segsize=1 >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
  # Somebody else may have made it meanwhile.
  { cp -a data "$template.$$" && mv -T "$template.$$" "$template"; } || rm -rf "$template.$$"
fi
# One user has to know a password.
$as sed -i '1i host all scram all scram-sha-256' "$folder/data/pg_hba.conf"
cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$sockets'
ssl = on
ssl_cert_file = '$folder/server.crt'
ssl_key_file = '$folder/server.key'
fsync = off
shared_buffers = 1MB
max_connections = 10
END
$as postgres -D "$folder/data" 2>&1 &
server=$!
wait "$server"
