# A Ray cluster of two nodes in two network namespaces with folders of their own, and a driver beside the first one.
# Run in namespaces of their own: user, net, mount and pid. Arguments: a folder with `weights`, and the driver's command.
set -e
folder=$1
shift
export HOME=$folder/home RAY_ADDRESS=10.77.0.1:6379
node() { ray start --node-ip-address "$@" --num-cpus 1 --disable-usage-stats --block; }
await() { until grep -q "Ray runtime started" "$1"; do kill -0 "$2"; sleep 0.2; done; }
mkdir -p "$HOME"
ip link set lo up
ip link add first type bridge # which outlives the second's end
ip link add cable type veth peer name second
ip link set cable master first
ip addr add 10.77.0.1/24 dev first
ip link set first up
ip link set cable up
node 10.77.0.1 --head --port 6379 --temp-dir "$folder/ray" --include-dashboard false > "$folder/first.log" 2>&1 &
await "$folder/first.log" $!
export -f node
# the second has the weights, and of the first one's folder, home and shared memory nothing
unshare --net --mount bash -c '
    set -e
    mount -t tmpfs tmpfs /mnt
    cp -r "$0/weights" /mnt
    mount -t tmpfs tmpfs "$0"
    mount -t tmpfs tmpfs /dev/shm
    cp -r /mnt/weights "$0"
    mkdir "$HOME"
    cd "$0"
    until ip link show second > /dev/null 2>&1; do sleep 0.1; done
    ip link set lo up
    ip addr add 10.77.0.2/24 dev second
    ip link set second up
    node 10.77.0.2 --address "$RAY_ADDRESS"' "$folder" > "$folder/second.log" 2>&1 &
export SECOND=$!
until [ "$(readlink /proc/$SECOND/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link set second netns $SECOND
await "$folder/second.log" $SECOND
"$@"
