package kafka

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"path/filepath"

	"github.com/microseg/microseg/testing/harness/jvm"
)

//go:embed pom.xml
var pom []byte

//go:embed jars.sha256
var sums string

var jars = jvm.Jars{Name: "Apache Kafka", Size: "about 45 MB", POM: pom, Sums: sums}

// Fetch makes sure that Kafka's jars are in <cacheDir>/kafka/libs and a Java of at least
// 17 is at hand (see jvm.Jars). What the tools say goes to log. The error is a
// *jvm.MissingError when a tool is not installed.
func Fetch(ctx context.Context, cacheDir string, log io.Writer) error {
	if _, err := jvm.Find(ctx, cacheDir, log); err != nil {
		return fmt.Errorf("preparing Apache Kafka: %w", err)
	}
	return jars.Fetch(ctx, filepath.Join(cacheDir, "kafka"), log)
}
