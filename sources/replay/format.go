package replay

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// FormatError says that an input is no JSON, what it is, and what to do.
type FormatError struct{ Name, What, Do string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("reading %s: it is %s; %s", e.Name, e.What, e.Do)
}

// packing is how bytes that begin so are packed, where they can be unpacked here.
func packing(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	case len(head) > 3 && bytes.HasPrefix(head, []byte("BZh")) && head[3] >= '1' && head[3] <= '9':
		return "bzip2"
	}
	return ""
}

// What files of other programs begin with. FILE stands for the name.
var foreign = []struct{ magic, what, do string }{
	{"PK\x03\x04", "a zip archive (or a spreadsheet)", "unpack it: `unzip -p FILE | microseg replay -`"},
	{"PK\x05\x06", "an empty zip archive", "there is nothing to replay"},
	{"\xfd7zXZ\x00", "packed with xz", "unpack it: `xz -dc FILE | microseg replay -`"},
	{"\x04\x22\x4d\x18", "packed with lz4", "unpack it: `lz4 -dc FILE | microseg replay -`"},
	{"\xff\x06\x00\x00sNaPpY", "packed with snappy", "unpack it: `snzip -dc FILE | microseg replay -`"},
	{"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it: `7z e -so FILE | microseg replay -`"},
	{"Rar!\x1a\x07", "a RAR archive", "unpack it first"},
	{"PAR1", "Parquet", "write it as JSON lines: " +
		"`duckdb -c \"COPY (SELECT * FROM 'FILE') TO '/dev/stdout' (FORMAT json)\" | microseg replay -`"},
	{"ARROW1", "Arrow", "write it as JSON lines, one event a line"},
	{"ORC", "ORC", "write it as JSON lines, one event a line"},
	{"Obj\x01", "Avro", "write it as JSON lines: `avro-tools tojson FILE | microseg replay -`"},
	{"SQLite format 3\x00", "a SQLite database", "write its events as JSON lines, one event a line"},
	{"%PDF-", "a PDF", "name a file of events, one JSON object a line"},
}

// form is how the records of an input are told apart.
type form int

const (
	formLines  form = iota // one a line, so that a broken line costs itself
	formValues             // JSON values in a row or in arrays, over any number of lines
)

// form finds out what the input is and makes it UTF-8 without a byte order
// mark. The error is a *FormatError where it holds no JSON objects.
func (i *input) form() (form, error) {
	if err := i.recode(); err != nil {
		return 0, err
	}
	head, err := i.Peek(window)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("reading %s: %w", i.name, err)
	}
	text := bytes.TrimLeft(head, blank)
	whole := len(head) < window
	switch {
	case len(text) == 0 && whole:
		return 0, &FormatError{i.name, "empty", "it needs one JSON object a line"}
	case len(text) > 0 && text[0] != '[' && !commas(text) && hasLine(head, whole):
		return formLines, nil
	case len(text) > 0 && (text[0] == '[' || text[0] == '{' || text[0] == rs):
		return formValues, nil
	}
	return formLines, i.other(head)
}

// recode makes UTF-16 into UTF-8, and drops byte order marks.
func (i *input) recode() error {
	head, _ := i.Peek(4)
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}) || bytes.HasPrefix(head, []byte{0, 0, 0xfe, 0xff}):
		return FormatError{i.name, "UTF-32",
			"write it as UTF-8: `iconv -f UTF-32 -t UTF-8 FILE | microseg replay -`"}.of()
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, _ = i.Discard(3)
		return nil
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}):
	case len(head) == 4 && ascii(head[0]) && head[1] == 0 && ascii(head[2]) && head[3] == 0:
		utf16 = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case len(head) == 4 && head[0] == 0 && ascii(head[1]) && head[2] == 0 && ascii(head[3]):
		utf16 = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	default:
		return nil
	}
	i.Reader = bufio.NewReaderSize(utf16.NewDecoder().Reader(i.Reader), window)
	return nil
}

func ascii(c byte) bool { return c >= '\t' && c < utf8.RuneSelf }

// of puts the name into what is to be done.
func (e FormatError) of() *FormatError {
	e.Do = strings.ReplaceAll(e.Do, "FILE", e.Name)
	return &e
}

// blank is white space between records. A record separator begins each value
// of a JSON text sequence (RFC 7464).
const (
	blank = " \t\r\n"
	rs    = 0x1e
)

// hasLine reports whether a line, from its first column, is one JSON object:
// so are JSON lines, also after a header or a broken line, while the lines of
// what is printed prettily are parts of one, or indented.
func hasLine(head []byte, whole bool) bool {
	for len(head) > 0 {
		line, rest, ended := bytes.Cut(head, []byte("\n"))
		column := bytes.TrimLeft(line, "\x00\x1e")
		if len(column) > 2 && column[0] == '{' && (ended || whole) {
			if end, ok := valueEnd(column); ok && len(trim(column[end:])) == 0 {
				return true
			}
		}
		head = rest
	}
	return false
}

// commas reports whether the first line is an object and a comma: so are arrays
// that somebody has cut out of their brackets.
func commas(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	end, ok := valueEnd(line)
	return ok && line[0] == '{' && bytes.HasPrefix(trim(line[end:]), []byte(","))
}

// separators of tables of text, and the flags with which mlr reads them.
var separators = []struct{ c, what, mlr string }{
	{"\t", "tab-separated values", "--itsv"},
	{",", "comma-separated values (CSV)", "--icsv"},
	{";", "semicolon-separated values (CSV)", "--icsv --ifs ';'"},
	{"|", "values separated by |", "--icsv --ifs '|'"},
}

// other says what an input is that begins like no JSON.
func (i *input) other(head []byte) error {
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return FormatError{i.name, f.what, f.do}.of()
		}
	}
	text := bytes.TrimLeft(head, blank)
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	next, _, _ := bytes.Cut(rest, []byte("\n"))
	line = bytes.TrimSpace(line)
	const object = "each line has to be one event as a JSON object, such as " +
		`{"type":"page","anonymousId":"a1","timestamp":"2026-11-20T10:00:00Z"}`
	switch {
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return FormatError{i.name, "a tar archive", "unpack it: `tar -xOf FILE | microseg replay -`"}.of()
	case bytes.IndexByte(head, 0) >= 0 || !utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]):
		return FormatError{i.name, "binary data", object}.of()
	case text[0] == '<':
		return FormatError{i.name, "XML or HTML", object}.of()
	}
	for _, sep := range separators {
		n, header := bytes.Count(line, []byte(sep.c)), len(bytes.TrimSpace(next)) == 0
		if n > 0 && (header || bytes.Count(next, []byte(sep.c)) >= n) {
			return FormatError{i.name, sep.what + ", with the header " + excerpt(line),
				"make events of its rows, one JSON object a line: `mlr " + sep.mlr + " --ojsonl cat FILE`, " +
					"with columns named type, event, anonymousId, timestamp and properties.… " +
					"(mlr makes objects of names with dots); samples/convert has examples"}.of()
		}
	}
	return FormatError{i.name, "no JSON: it begins with " + excerpt(line), object}.of()
}

// excerpt quotes the beginning of a line.
func excerpt(line []byte) string {
	const most = 80
	if len(line) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(string(line[:most]), ""))
	}
	return fmt.Sprintf("%q", line)
}
