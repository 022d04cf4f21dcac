#!/bin/sh
# A real S3 server that is not moto: Ceph's gateway over one monitor and one OSD that keeps everything in memory.
#
#   tests/s3/radosgw.sh start FOLDER    prints the variables that tests/s3 reads; everything is below FOLDER
#   tests/s3/radosgw.sh stop FOLDER
#
# Wants Debian's packages: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
set -eu
HERE=${2:?usage: radosgw.sh start|stop FOLDER}
MON=${HEADRACE_MON_PORT:-23300}
PORT=${HEADRACE_S3_PORT:-23380}
KEY=water SECRET=headrace-test-secret
conf="$HERE/ceph.conf"

stop() {
    for pid in "$HERE"/*.pid; do
        [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
    done
    rm -rf "$HERE"
}

[ "$1" = stop ] && { stop; exit 0; }
for tool in ceph-mon ceph-osd radosgw radosgw-admin monmaptool ceph; do
    command -v $tool >/dev/null || { echo "$0: no $tool: see the head of this file" >&2; exit 2; }
done
stop
mkdir -p "$HERE/mon" "$HERE/osd" "$HERE/rgw"
fsid=$(cat /proc/sys/kernel/random/uuid)
cat >"$conf" <<END
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$MON
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon data = $HERE/mon
osd data = $HERE/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd memory target = 1073741824
rgw data = $HERE/rgw
keyring = $HERE/keyring
run dir = $HERE
admin socket = $HERE/\$name.asok
log file = $HERE/\$name.log
pid file = $HERE/\$name.pid
mon cluster log file = $HERE/cluster.signals.log
rgw frontends = beast endpoint=127.0.0.1:$PORT
rgw dns name = 127.0.0.1
rgw enable usage log = false
rgw run sync thread = false
END
{
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$MON]" "$HERE/monmap"
    ceph-authtool --create-keyring "$HERE/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$HERE/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    ceph-mon -c "$conf" -i a --mkfs --monmap "$HERE/monmap" --keyring "$HERE/keyring"
    ceph-mon -c "$conf" -i a
    osd=$(cat /proc/sys/kernel/random/uuid)
    secret=$(ceph-authtool --gen-print-key)
    ceph-authtool "$HERE/keyring" -n osd.0 --add-key "$secret"
    echo "{\"cephx_secret\": \"$secret\"}" | timeout 60 ceph -c "$conf" osd new "$osd" -i -
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
    ceph-osd -c "$conf" -i 0
    timeout 120 radosgw-admin -c "$conf" user create --uid=test --display-name=test --access-key=$KEY --secret=$SECRET
    timeout 120 radosgw -c "$conf" -n client.admin
} >"$HERE/start.log" 2>&1 || { tail -20 "$HERE/start.log" >&2; stop; exit 1; }
for _ in $(seq 100); do
    if curl -s -o /dev/null "http://127.0.0.1:$PORT"; then
        echo "export HEADRACE_S3_ENDPOINT=http://127.0.0.1:$PORT HEADRACE_S3_KEY=$KEY HEADRACE_S3_SECRET=$SECRET"
        exit 0
    fi
    sleep 0.2
done
echo "$0: the gateway does not answer" >&2
stop
exit 1
