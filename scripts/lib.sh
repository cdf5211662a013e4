# scripts/lib.sh: sourced by the others. Private Postgres clusters: where they live, who runs them, their start and end.

pg_bin=/usr/lib/postgresql/15/bin

die()
{
	echo "$*" >&2
	exit 1
}

# True when nobody listens on the port, on either loopback address.
port_free()
{
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && ! (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null
}

# Prints a free port. Below the range from which the kernel gives ports to clients, so that none is taken by chance
# between this look and its use.
free_port()
{
	local port tries
	for ((tries = 0; tries < 200; tries++)); do
		port=$((20000 + RANDOM % 10000))
		if port_free "$port"; then
			echo "$port"
			return
		fi
	done
	die "no free port between 20000 and 29999"
}

# Postgres refuses to run as root: there, its own user runs it.
pg_as()
{
	if [ "$(id -u)" -eq 0 ]; then
		(cd / && exec runuser -u postgres -- "$@")
	else
		"$@"
	fi
}

# pg_dir_usable DIR: makes DIR and says whether the user who runs Postgres may work in it. It may not when the checkout
# lies below /root, say.
pg_dir_usable()
{
	mkdir -p -m 700 -- "$1" || return 1
	[ ! -L "$1" ] || return 1
	if [ "$(id -u)" -eq 0 ]; then
		chown postgres: -- "$1" 2>/dev/null || return 1
	fi
	[ "$(pg_as stat -c %U -- "$1" 2>/dev/null)" = "$(pg_as id -un)" ] || return 1
	pg_as sh -c 'cd "$1" && : >.try && rm .try' sh "$1" 2>/dev/null
}

pg_stop()
{
	if pg_as "$pg_bin/pg_ctl" -D "$1" status >/dev/null 2>&1; then
		pg_as "$pg_bin/pg_ctl" -D "$1" -m fast -w stop >/dev/null 2>&1 ||
			pg_as "$pg_bin/pg_ctl" -D "$1" -m immediate -w stop >/dev/null 2>&1 || true
	fi
}

# npm_install DIR: the locked packages of DIR, only when they are not there yet.
npm_install()
{
	if [ ! "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then
		echo "Installing the npm packages of $1"
		(cd "$1" && npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null) || return 1
		touch "$1/node_modules/.package-lock.json"
	fi
}
