#!/bin/sh
# Installs what the tests need on Debian and Ubuntu. Safe to run again; quick when all is there.
# Where it cannot install something it says so and goes on: the tests that need it are skipped and say why.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }

. /etc/os-release 2>/dev/null

# command     package          why
wanted() {
	cat <<-END
	ip            iproute2         bridges, namespaces and their addresses in nearly every test
	ping          iputils-ping     trains of pings that count what is lost
	nsenter       util-linux       commands inside a guest's namespace
	mount         mount            a full disk is a small tmpfs
	nft           nftables         reads our rules back as a person would
	dig           bind9-dnsutils   asks our DNS
	dnsmasq       dnsmasq-base     the peer: reads the same pins file, holds ports 53 and 67
	busybox       busybox-static   udhcpc, a DHCP client
	dbus-daemon   dbus-daemon      a bus of the tests' own, for resolved and networkd
	rdisc6        ndisc6           asks for router advertisements
	radvdump      radvdump         reads them
	END
	# Ubuntu's lxd package is a door to the snap store, and a snap has its own ideas of where state lies.
	[ "${ID:-}" = debian ] || return 0
	cat <<-END
	lxd           lxd              the runtime whose containers are moved
	lxc           lxd-client       its command line
	lxcfs         lxcfs            /proc of its containers
	mmdebstrap    mmdebstrap       builds the containers' image from the machine's own package sources
	mksquashfs    squashfs-tools   packs the image
	newuidmap     uidmap           maps users of unprivileged containers
	END
}

missing=$(wanted | while read -r command package _; do
	command -v "$command" >/dev/null 2>&1 || echo "$package"
done | sort -u)
missing=$(echo $missing)

# Installing systemd-resolved would give it this machine's own DNS, so where it is not in use it is only unpacked;
# the tests that use it run as root only.
unpacked=${XDG_CACHE_HOME:-/var/cache}/berth-test/systemd-resolved
unpack=
if [ "$(id -u)" = 0 ] && [ ! -x /lib/systemd/systemd-resolved ] && [ ! -d "$unpacked" ]; then
	unpack=yes
fi
[ -n "$missing$unpack" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	say "this is not Debian or Ubuntu; please install by hand what is like: ${missing:-systemd-resolved}"
	exit 0
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		say "not root, and no sudo; not installed: $missing"
		exit 0
	fi
	as_root=sudo
	[ -t 0 ] || as_root='sudo -n' # nobody is there to type a password
	say "installing with sudo: $missing"
	if ! $as_root true; then
		say "sudo refused; not installed: $missing"
		exit 0
	fi
else
	say "installing: ${missing:-nothing}${unpack:+, unpacking systemd-resolved}"
fi

apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >&2
}

# The tests start the daemons they need by themselves: installing must not start any on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$as_root rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root sh -c "cat >$policy && chmod 755 $policy"
fi

install() {
	[ -z "$missing" ] ||
		# shellcheck disable=SC2086 # a list of words
		apt install -y --no-install-recommends $missing
}

# unpack_resolved takes the version of the library that systemd-resolved shares with the rest of systemd.
unpack_resolved() {
	dpkg-query -W libsystemd-shared >/dev/null 2>&1 || apt install -y --no-install-recommends libsystemd-shared || return
	version=$(dpkg-query -W -f '${Version}' libsystemd-shared) || return
	rm -rf "$unpacked.part"
	mkdir -p "$unpacked.part" && chmod 755 "$unpacked.part" && (
		cd "$unpacked.part" || exit
		apt download "systemd-resolved=$version" || apt download systemd-resolved || exit
		dpkg-deb -x ./*.deb . && rm ./*.deb
	) && mv "$unpacked.part" "$unpacked"
}

# A machine's lists may be old or absent.
if ! install || { [ -n "$unpack" ] && ! unpack_resolved; }; then
	apt update || say "apt-get update failed; trying with what is known"
	if ! install; then
		# One unknown name must not take the others with it.
		for package in $missing; do
			apt install -y --no-install-recommends "$package" || say "not installed: $package"
		done
	fi
	if [ -n "$unpack" ] && [ ! -d "$unpacked" ]; then
		unpack_resolved || say "not unpacked: systemd-resolved"
	fi
fi
exit 0
