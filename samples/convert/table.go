package convert

import (
	"encoding/csv"
	"fmt"
	"io"
	"time"
)

// table reads a CSV with a header row; columns are found by name.
type table struct {
	csv  *csv.Reader
	cols map[string]int
	row  []string
	line int
}

func newTable(src io.Reader, need ...string) (*table, error) {
	t := &table{csv: csv.NewReader(src), cols: map[string]int{}, line: 1}
	head, err := t.csv.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the header row: %w", err)
	}
	for i, name := range head {
		t.cols[name] = i
	}
	for _, name := range need {
		if _, ok := t.cols[name]; !ok {
			return nil, fmt.Errorf("reading the header row: column %q is missing", name)
		}
	}
	return t, nil
}

// next reads a row; ok is false at the end.
func (t *table) next() (ok bool, err error) {
	t.row, err = t.csv.Read()
	if err == io.EOF {
		return false, nil
	}
	if t.line++; err != nil {
		return false, fmt.Errorf("reading CSV: %w", err)
	}
	return true, nil
}

// get is a field of the row, "" where the table has no such column.
func (t *table) get(name string) string {
	i, ok := t.cols[name]
	if !ok {
		return ""
	}
	return t.row[i]
}

// time reads a field as a time of the given layout.
func (t *table) time(name, layout string) (time.Time, error) {
	v, err := time.Parse(layout, t.get(name))
	if err != nil {
		return v, fmt.Errorf("reading %s of row %d: %w", name, t.line, err)
	}
	return v, nil
}
