package kafka

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// clusterID is what storage is formatted with: 16 bytes in base64.
const clusterID = "bWljcm9zZWctdGVzdHMtMQ"

// settings are server.properties of one node that is broker and controller.
// Every internal topic has one replica, groups do not wait for members, and a
// killed broker's session ends after 4 s, so that a restart need not wait 9.
const settings = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d%[4]s
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d%[4]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT%[5]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
num.partitions=4
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=2
`

// writeSettings writes dir/server.properties and returns the client's port. A
// folder that has one keeps it, so that a broker restarts on its own ports.
func writeSettings(dir string, more *extra) (port int, fresh bool, err error) {
	file := filepath.Join(dir, "server.properties")
	if text, err := os.ReadFile(file); err == nil {
		_, rest, _ := strings.Cut(string(text), "PLAINTEXT://127.0.0.1:")
		digits, _, _ := strings.Cut(rest, ",")
		if port, err := strconv.Atoi(digits); err == nil {
			return port, false, nil
		}
	}
	ports, err := freePorts(2 + len(more.doors))
	if err != nil {
		return 0, false, err
	}
	var at, protocols string
	for i, d := range more.doors {
		d.port = ports[2+i]
		at += fmt.Sprintf(",%s://127.0.0.1:%d", d.name, d.port)
		protocols += fmt.Sprintf(",%s:%s", d.name, d.protocol)
	}
	text := fmt.Sprintf(settings, ports[0], ports[1], filepath.Join(dir, "data"), at, protocols) + more.settings
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return 0, false, fmt.Errorf("writing the broker's settings: %w", err)
	}
	return ports[0], true, nil
}

// freePorts holds all ports until it has them, so that they differ.
func freePorts(n int) ([]int, error) {
	at := make([]int, n)
	for i := range at {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		at[i] = l.Addr().(*net.TCPAddr).Port
	}
	return at, nil
}
