package main

import (
	"context"
	"fmt"
	"os"

	"github.com/microseg/microseg/embedded/clickhouse"
	"github.com/microseg/microseg/sinks/clickhouseio/erasure"
)

// mayClear refuses to clear a site's rows in a ClickHouse that this program did
// not bring, unless the site is named once more: others may read them there.
func mayClear(site string, o upOptions) error {
	if !o.clean || os.Getenv(clickhouse.DSNEnv) == "" || o.yes == site {
		return nil
	}
	return fmt.Errorf("--clean deletes all rows of site %q in the ClickHouse that %s names, which is not the embedded one: add --yes %s if that is meant", site, clickhouse.DSNEnv, site)
}

// clearSite deletes the site's rows, so that what a new log says is not mixed
// with what an old one said.
func clearSite(ctx context.Context, dsn, site string) error {
	n, err := erasure.Clear(ctx, dsn, site)
	if err != nil {
		return err
	}
	if n > 0 {
		fmt.Fprintf(os.Stderr, "cleared %d rows of site %s\n", n, site)
	}
	return nil
}
