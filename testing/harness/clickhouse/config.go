package clickhouse

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// configuration is the same for the embedded library and `clickhouse server`.
// Caches and pools are sized for a laptop. None of the system log tables is
// configured, so none exists: they would cost a few percent of a core when
// idle. The merge_tree settings follow from the small merge pool: the server
// refuses to start when they ask for more free threads than it has.
var configuration = template.Must(template.New("config").Funcs(template.FuncMap{"x": escape}).Parse(`<clickhouse>
  <path>{{x .Dir}}/</path>
  <tmp_path>{{x .Dir}}/tmp/</tmp_path>
  <user_files_path>{{x .Dir}}/user_files/</user_files_path>
  <format_schema_path>{{x .Dir}}/format_schemas/</format_schema_path>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{{.TCP}}</tcp_port>
  <http_port>{{.HTTP}}</http_port>
  <max_server_memory_usage>{{.MaxMemory}}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  {{with .KeepFree}}<storage_configuration><disks><default><keep_free_space_bytes>{{.}}</keep_free_space_bytes></default></disks></storage_configuration>
  {{end}}<background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>2</background_schedule_pool_size>
  <max_concurrent_queries>200</max_concurrent_queries>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
  </merge_tree>{{if .Server}}
  <logger><level>warning</level><console>1</console></logger>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
  <user_directories><users_xml><path>{{x .Config}}</path></users_xml></user_directories>{{end}}
</clickhouse>
`))

// maxMemory bounds the server's allocations (bytes): room for a report over
// millions of sessions, but not the whole laptop.
const maxMemory = 3 << 30

// writeConfig writes the server's configuration into o.Dir and returns its path.
// For `clickhouse server` (server is true) it holds the users as well; the
// library has its own.
func writeConfig(o Options, tcp, http int, server bool) (string, error) {
	path := filepath.Join(o.Dir, "config.xml")
	var b bytes.Buffer
	err := configuration.Execute(&b, map[string]any{"Dir": o.Dir, "KeepFree": o.KeepFree, "TCP": tcp, "HTTP": http,
		"MaxMemory": int64(maxMemory), "Server": server, "Config": path})
	if err == nil {
		err = os.WriteFile(path, b.Bytes(), 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("writing ClickHouse's configuration: %w", err)
	}
	return path, nil
}

func escape(s string) (string, error) {
	var b bytes.Buffer
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}
