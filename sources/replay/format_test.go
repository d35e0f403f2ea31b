package replay

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/text/encoding/unicode"
)

// all reads an input into its records.
func all(t *testing.T, b []byte) ([]item, error) {
	t.Helper()
	in, _, err := open(Options{Reader: bytes.NewReader(b)})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var out []item
	err = in.split(func(it item) error {
		return eachOf(it, func(it item) error {
			it.raw = bytes.Clone(it.raw)
			out = append(out, it)
			return nil
		})
	})
	return out, err
}

func page(n int) string {
	return fmt.Sprintf(`{"type":"page","anonymousId":"a%d","timestamp":"2026-11-20T10:00:0%dZ"}`, n, n)
}

// TestForms: the same three events in every form in which people have them. All
// but JSON lines were dead letters, line by line, and the exit code was 0.
func TestForms(t *testing.T) {
	t.Parallel()
	a, b, c := page(1), page(2), page(3)
	jsonl := a + "\n" + b + "\n" + c + "\n"
	utf16 := func(e unicode.Endianness, bom unicode.BOMPolicy) string {
		out, err := unicode.UTF16(e, bom).NewEncoder().String(jsonl)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	pretty := strings.ReplaceAll(strings.ReplaceAll(jsonl, `,"`, ",\n  \""), `{"`, "{\n  \"")
	for name, text := range map[string]string{
		"lines":                       jsonl,
		"no line feed at the end":     a + "\n" + b + "\n" + c,
		"windows":                     strings.ReplaceAll(jsonl, "\n", "\r\n"),
		"old mac":                     strings.ReplaceAll(jsonl, "\n", "\r"),
		"blank lines":                 "\n\n" + strings.ReplaceAll(jsonl, "\n", "\n\n \t\n"),
		"byte order mark":             "\ufeff" + jsonl,
		"utf-16, little endian, mark": utf16(unicode.LittleEndian, unicode.UseBOM),
		"utf-16, big endian, mark":    utf16(unicode.BigEndian, unicode.UseBOM),
		"utf-16, little endian":       utf16(unicode.LittleEndian, unicode.IgnoreBOM),
		"utf-16, big endian":          utf16(unicode.BigEndian, unicode.IgnoreBOM),
		"array":                       "[" + a + "," + b + "," + c + "]",
		"array, one a line":           "[\n" + a + ",\n" + b + ",\n" + c + "\n]\n",
		"array, mark":                 "\ufeff [" + a + "," + b + "," + c + "]",
		"arrays, one a line":          "[" + a + "," + b + "]\n[" + c + "]\n",
		"pretty":                      pretty,
		"pretty array":                "[\n" + strings.ReplaceAll(pretty, "}\n{", "},\n{") + "]",
		"in a row":                    a + b + " " + c,
		"commas":                      a + ",\n" + b + ",\n" + c,
		"text sequence":               "\x1e" + a + "\n\x1e" + b + "\n\x1e" + c + "\n",
		"a hole of NULs":              a + "\n" + strings.Repeat("\x00", 5000) + b + "\n" + c + "\n",
		"batch":                       `{"batch":[` + a + "," + b + "," + c + "]}",
		"batches, one a line":         `{"batch":[` + a + "," + b + "]}\n" + `{"batch":[` + c + `],"sentAt":"2026-11-20T10:00:09Z"}`,
		"array of batches":            `[{"batch":[` + a + "]},{\"writeKey\":\"k\",\"batch\":[" + b + "," + c + "]}]",
		"pretty batch":                "{\n  \"batch\": [\n    " + a + ",\n    " + b + ",\n    " + c + "\n  ]\n}\n",
	} {
		got, err := all(t, []byte(text))
		if err != nil || len(got) != 3 {
			t.Errorf("%s: %d records, %v", name, len(got), err)
			continue
		}
		j, err := newJudge(eventConfig)
		if err != nil {
			t.Fatal(err)
		}
		for i, it := range got {
			if id := j.look(it); id.key != fmt.Sprintf("a%d", i+1) || id.at == 0 || j.good != int64(i+1) {
				t.Errorf("%s: record %d is %s, %+v, %v", name, i, it.raw, id, j.bad)
			}
		}
	}
}

// TestOthers: what is no JSON is refused as a whole, with words of what to do.
// A file of any of these was taken line by line, and its name decided whether it
// was unpacked.
func TestOthers(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	w, err := z.Create("e.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, page(1))
	z.Close()
	utf32 := "\xff\xfe\x00\x00{\x00\x00\x00"
	for says, text := range map[string]string{
		"unzip -p":                   zipped.String(),
		"Parquet":                    "PAR1\x15\x04\x15\x10",
		"xz -dc":                     "\xfd7zXZ\x00\x00\x04",
		"lz4":                        "\x04\x22\x4d\x18\x64\x40",
		"Avro":                       "Obj\x01\x04\x14avro",
		"ORC":                        "ORC\x08\x03",
		"SQLite":                     "SQLite format 3\x00\x10",
		"7-Zip":                      "7z\xbc\xaf\x27\x1c\x00\x04",
		"UTF-32":                     utf32,
		"mlr --icsv --ojsonl":        "type,anonymousId,timestamp\npage,a1,2026-11-20T10:00:00Z\n",
		"semicolon":                  "type;anonymousId;timestamp\r\npage;a1;2026-11-20T10:00:00Z\r\n",
		"mlr --itsv":                 "type\tanonymousId\ttimestamp\npage\ta1\t2026-11-20T10:00:00Z\n",
		"CSV":                        "type,anonymousId,timestamp\n", // a header alone
		"XML or HTML":                "<!doctype html><title>Sign in</title>",
		"empty":                      "",
		"it is empty":                "\n \r\n\t\n",
		"binary":                     "\x89\x01\x02\x00\x00\xff",
		"tar -xOf":                   "e.jsonl" + strings.Repeat("\x00", 250) + "ustar" + strings.Repeat("\x00", 250),
		`begins with "Not found"`:    "Not found\n",
		"cut off":                    string(packed(t, strings.Repeat(page(1)+"\n", 20_000))[:2000]),
		`header "type,\"a b\",time"`: "type,\"a b\",time\n1,2,3",
	} {
		got, err := all(t, []byte(text))
		var format *FormatError
		if err == nil || !strings.Contains(err.Error(), says) || says != "cut off" && (!errors.As(err, &format) || len(got) > 0) {
			t.Errorf("%s: %d records, %v", says, len(got), err)
		}
		if err != nil && strings.Contains(err.Error(), "FILE") && !strings.Contains(says, "mlr") && !strings.Contains(err.Error(), "mlr") {
			t.Errorf("%v does not name the file", err)
		}
	}
	dir := t.TempDir()
	if err := Check(dir); err == nil || !strings.Contains(err.Error(), "directory") || !strings.Contains(err.Error(), dir+"/*.jsonl") {
		t.Errorf("a directory: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(pipe); err != nil { // it would have to wait for a writer, and take what it reads
		t.Errorf("a pipe: %v", err)
	}
	if err := Check(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	// A gzip file that is called .zip, and a zip that is called .jsonl, are what they are.
	if err := Check(write(t, dir, "e.zip", packed(t, page(1)))); err != nil {
		t.Error(err)
	}
	if err := Check(write(t, dir, "e.jsonl", zipped.Bytes())); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a zip: %v", err)
	}
}

// TestBroken: what is broken costs itself, and its line is named.
func TestBroken(t *testing.T) {
	t.Parallel()
	a, b, c := page(1), page(2), page(3)
	long := `{"type":"page","x":"` + strings.Repeat("x", 200_000) + `"}`
	for name, x := range map[string]struct {
		text string
		bad  map[int]bool // lines
		good int
	}{
		"a broken line":            {a + "\n{\"type\":\n" + b + "\n" + c[:20] + "\n" + c, map[int]bool{2: true, 4: true}, 3},
		"the first line is broken": {"{\"type\":\n" + b + "\n" + c, map[int]bool{1: true}, 2},
		"a header":                 {"# events of November, all\n" + b + "\n" + c, map[int]bool{1: true}, 2},
		"long lines":               {long + "\n" + a + "\n" + long + "\n" + b, map[int]bool{1: true, 3: true}, 2},
		"array, cut off":           {"[\n" + a + ",\n" + b + ",\n" + c[:30], map[int]bool{4: true}, 2},
		"array, one is cut off":    {"[\n" + a + ",\n" + c[:30] + "\n" + b + "]", map[int]bool{3: true}, 2},
		"array, no objects":        {"[1, \"x\", null,\n" + a + "]", map[int]bool{1: true}, 1},
		"batch, no objects":        {`{"batch":[1,` + a + `,"x"]}`, map[int]bool{1: true}, 1},
		"batch, broken":            {`{"batch":[` + a + "\n" + b, map[int]bool{1: true}, 1},
		"batch with a type":        {`{"type":"page","anonymousId":"a","timestamp":"2026-11-20T10:00:00Z","batch":[1]}`, map[int]bool{}, 1},
	} {
		got, err := all(t, []byte(x.text))
		j, jErr := newJudge(eventConfig)
		if err != nil || jErr != nil {
			t.Fatal(name, err, jErr)
		}
		bad := map[int]bool{}
		for _, it := range got {
			before := j.good
			if j.look(it); j.good == before {
				bad[it.line] = true
			}
		}
		if fmt.Sprint(bad) != fmt.Sprint(x.bad) || j.good != int64(x.good) {
			t.Errorf("%s: lines %v are bad and %d good, want %v and %d; %v", name, bad, j.good, x.bad, x.good, j.bad)
		}
	}
}

// TestBatch: an event of a batch is what the collector would have made of it.
func TestBatch(t *testing.T) {
	t.Parallel()
	got, err := all(t, []byte(`{"writeKey":"k","sentAt":"2026-11-20T10:00:09Z","context":{"app":{"name":"x"},"userAgent":"batch"},"batch":[
		{"type":"page","anonymousId":"a1","context":{"userAgent":"own"}},
		{"type":"page","anonymousId":"a2","timestamp":"2026-11-20T10:00:01Z","sentAt":"2026-11-20T10:00:02Z","context":null}]}`))
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for i, want := range []string{
		`{"type":"page","anonymousId":"a1","sentAt":"2026-11-20T10:00:09Z","timestamp":"2026-11-20T10:00:09Z","context":{"userAgent":"own","app":{"name":"x"}}}`,
		`{"type":"page","anonymousId":"a2","timestamp":"2026-11-20T10:00:01Z","sentAt":"2026-11-20T10:00:02Z","context":{"app":{"name":"x"},"userAgent":"batch"}}`,
	} {
		if string(got[i].raw) != want {
			t.Errorf("%s\nwant %s", got[i].raw, want)
		}
	}
}

// FuzzSplit: no input breaks the replay, and nothing of one that is taken is
// said to begin behind its end.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{lines5, "[" + page(1) + "," + page(2) + "]", `{"batch":[` + page(1) + `,{}],"context":{"a":1},"sentAt":1}`, "{\n\"a\":\"\n", "\xff\xfe{\x00", "a,b\n1,2", "\x1f\x8b\x08"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, _, err := open(Options{Reader: bytes.NewReader(b)})
		if err != nil {
			return
		}
		defer in.Close()
		j, err := newJudge(eventConfig)
		if err != nil {
			t.Fatal(err)
		}
		_ = in.split(func(it item) error {
			return eachOf(it, func(it item) error {
				if it.line < 1 || it.line > 1+bytes.Count(b, []byte("\n"))+len(b) {
					t.Errorf("line %d", it.line)
				}
				j.look(it)
				return nil
			})
		})
	})
}
