#!/bin/sh
# Makes the containers' image in the folder $1: rootfs.squashfs and meta.tar.gz, as lxc image import
# takes them. The image is made anew when this file changes.
set -eu
out=$1
tree=$out/tree

# The machine's own package sources serve where they have this release.
mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Retries "3"' \
	--include=systemd,systemd-sysv,udev,dbus,iproute2,iputils-ping,procps \
	bookworm "$tree"

mkdir -p "$tree/etc/systemd/network"
cat >"$tree/etc/systemd/network/10-eth0.network" <<-END
	[Match]
	Name=eth0
	[Network]
	DHCP=ipv4
END
ln -s /lib/systemd/system/systemd-networkd.service "$tree/etc/systemd/system/multi-user.target.wants/"
# The runtime names the machine; every container makes an id of its own at its first boot.
rm -f "$tree/etc/hostname" "$tree/etc/resolv.conf"
: >"$tree/etc/machine-id"
# Small is quick: each container unpacks all of it.
rm -rf "$tree"/dev/* "$tree"/var/cache/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc \
	"$tree"/usr/share/man "$tree"/usr/share/locale "$tree"/usr/share/info "$tree"/usr/share/zoneinfo
# Timers and consoles that only make noise.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
	getty.target console-getty.service systemd-timesyncd.service; do
	ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done

mksquashfs "$tree" "$out/rootfs.squashfs" -quiet -no-progress -comp gzip -Xcompression-level 1 -noappend
rm -rf "$tree"
cat >"$out/metadata.yaml" <<-END
	architecture: $(uname -m)
	creation_date: 1700000000
	properties:
	  description: the containers of berth's tests
	  os: debian
	  release: bookworm
END
tar -C "$out" -czf "$out/meta.tar.gz" metadata.yaml
