package main

import (
	"os"
	"strings"
	"testing"
)

// TestRightsAreInTheDocs: the list that an operator copies is the list that is tested.
func TestRightsAreInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles {
		var cells []string
		for _, right := range r.rights(topicsOfJob{"<events>", "<events>"}) {
			at := right.Resource + " `" + right.Name + "`: "
			if n := len(cells); n > 0 && strings.HasPrefix(cells[n-1], at) {
				cells[n-1] += ", " + right.Operation
			} else {
				cells = append(cells, at+right.Operation)
			}
		}
		if row := "| `" + r.name + "` | " + strings.Join(cells, "; ") + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md lacks this row:\n%s", row)
		}
	}
}
