package stack

import (
	"encoding/json"
	"os"
	"path/filepath"
)

const addressesFile = "addresses.json"

// Addresses is what addresses.json in a stack's folder holds while it runs.
type Addresses struct {
	PID              int    `json:"pid"`
	Kafka            string `json:"kafka"`
	ClickHouseNative string `json:"clickhouse_native"`
	ClickHouseHTTP   string `json:"clickhouse_http"`
	HTTP             string `json:"http"`
	Site             string `json:"site"`
	Topic            string `json:"topic"`
	DSN              string `json:"clickhouse_dsn"`
	AnalystDSN       string `json:"clickhouse_analyst_dsn,omitempty"` // for your own queries: it reads the tables, within limits
	AdminHTTP        string `json:"admin_http,omitempty"`
	AdminKey         string `json:"admin_key_file,omitempty"`
}

// ReadAddresses reads what the process that keeps a stack up in dir has written.
func ReadAddresses(dir string) (a Addresses, err error) {
	b, err := os.ReadFile(filepath.Join(dir, addressesFile))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	return a, err
}
