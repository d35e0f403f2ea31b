package clickhouse

import (
	"bytes"
	"crypto/rand"
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
  </merge_tree>
  <access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant></access_control_improvements>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <user_directories><users_xml><path>{{x .Users}}</path></users_xml></user_directories>{{if .Server}}
  <logger><level>warning</level><console>1</console></logger>{{end}}
</clickhouse>
`))

// users are those who may connect. The library's own session is that of `default`
// without a password, from the loopback address, which cannot be had otherwise. It
// is the only one that `default` may have, and lasts as long as the server: whoever
// else comes as `default` is refused. `clickhouse server` has no such session, and
// gives `default` no address.
//
// What a format or a disk reads is none of a query's business (sealed); an analyst may
// choose settings, but none that changes anything, and no more of what is limited.
var users = template.Must(template.New("users").Parse(`<clickhouse>
  <profiles>
    <default></default>
    <session><max_sessions_for_user>1</max_sessions_for_user>
      <constraints><max_sessions_for_user><const/></max_sessions_for_user></constraints></session>
    <user><constraints>{{range .Sealed}}<{{.}}><const/></{{.}}>{{end}}</constraints></user>
    <analyst>
      <readonly>2</readonly>{{range .Limits}}
      <{{.Name}}>{{.Value}}</{{.Name}}>{{end}}
      <constraints>{{range .Sealed}}<{{.}}><const/></{{.}}>{{end}}{{range .Limits}}
        <{{.Name}}><min>1</min><max>{{.Value}}</max></{{.Name}}>{{end}}</constraints>
    </analyst>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>{{if .Open}}127.0.0.1{{else}}0.0.0.0{{end}}</ip></networks>
      <profile>session</profile>
      <quota>default</quota>
    </default>{{range .Users}}
    <{{.Name}}>
      <password_sha256_hex>{{.Hash}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>{{.Profile}}</profile>
      <quota>default</quota>
      <grants>{{range .Grants}}<query>{{.}}</query>{{end}}</grants>
    </{{.Name}}>{{end}}
  </users>
</clickhouse>
`))

// sealed are settings that nobody changes: paths of files that formats read, and the
// disk of a table, which may be an address of the network.
var sealed = []string{"format_template_row", "format_template_resultset", "format_schema", "format_schema_source",
	"merge_tree_disk", "merge_tree_storage_policy"}

// limits of an analyst's queries: the most, and what they have when they say nothing.
// The temporary data are those of all queries of the user together.
var limits = []struct {
	Name  string
	Value int64
}{
	{"max_execution_time", 60}, // seconds
	{"max_memory_usage", 1 << 30},
	{"max_memory_usage_for_user", 1 << 30},
	{"max_threads", 2},
	{"max_concurrent_queries_for_user", 8},
	{"max_temporary_data_on_disk_size_for_user", 1 << 30},
}

// writeUsers writes the users' file, a new one at each start: one that another
// server in this folder still reads must not be opened again.
func writeUsers(o Options, passwords map[string]string, open bool) (path string, err error) {
	old, _ := filepath.Glob(filepath.Join(o.Dir, "users-*.xml")) // the pattern is well-formed
	for _, f := range old {
		_ = os.Remove(f) // what is left over harms nobody
	}
	type user struct {
		Name, Profile, Hash string
		Grants              []string
	}
	who := []user{{User, "user", hash(passwords[User]), grants}, {Analyst, "analyst", hash(passwords[Analyst]), []string{"GRANT SELECT ON " + o.Database + ".*"}}}
	for _, a := range o.Accounts {
		profile := "user"
		if a.Reads {
			profile = "analyst"
		}
		who = append(who, user{a.Name, profile, hash(a.Password), a.Grants})
	}
	var b bytes.Buffer
	path = filepath.Join(o.Dir, "users-"+rand.Text()+".xml")
	if err := users.Execute(&b, map[string]any{"Open": open, "Users": who, "Sealed": sealed, "Limits": limits}); err != nil {
		return "", err
	}
	return path, writePrivate(path, b.Bytes())
}

// grants of User: whatever the job, its nodes and an analyst do with tables.
// None of the sources (file, url, s3, remote, mysql and so on) is among them, nor
// temporary tables, users, backups or functions that run programs: who has the
// password reads and writes the tables, but no file of the machine and no network.
var grants = []string{"GRANT SHOW, SELECT, INSERT, ALTER, SYSTEM MERGES, CREATE DATABASE, CREATE TABLE, CREATE VIEW, " +
	"DROP DATABASE, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE ON *.*",
	"GRANT TABLE ENGINE ON MergeTree", "GRANT TABLE ENGINE ON ReplacingMergeTree", "GRANT TABLE ENGINE ON AggregatingMergeTree",
	"GRANT TABLE ENGINE ON SummingMergeTree", "GRANT TABLE ENGINE ON Memory", "GRANT TABLE ENGINE ON Null"}

// maxMemory bounds the server's allocations (bytes): room for a report over
// millions of sessions, but not the whole laptop.
const maxMemory = 3 << 30

// writeConfig writes the server's configuration into o.Dir and returns its path.
// Beside it lie the users with the hashes of their passwords.
func writeConfig(o Options, passwords map[string]string, tcp, http int, server bool) (string, error) {
	path := filepath.Join(o.Dir, "config.xml")
	var b bytes.Buffer
	users, err := writeUsers(o, passwords, !server)
	if err == nil {
		err = configuration.Execute(&b, map[string]any{"Dir": o.Dir, "KeepFree": o.KeepFree, "TCP": tcp, "HTTP": http,
			"MaxMemory": int64(maxMemory), "Server": server, "Users": users})
	}
	if err == nil {
		err = writePrivate(path, b.Bytes())
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
