// Layouts prints, as JSON, where the Go runtime keeps the facts that fgspy reads from outside the process.
//
//	go run . GOROOT...
//
// It type-checks the runtime's own sources of each GOROOT (no build, no DWARF) for linux/amd64 and linux/arm64, with
// the build tags that this GOROOT's go command would use. What to extract is listed in wanted.go. `cargo xtask layouts`
// runs it and merges the output into gobin/layouts.toml.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// fact is everything extracted from one GOROOT for one architecture.
type fact struct {
	Version string                      `json:"version"` // "1.23.9"
	Arch    string                      `json:"arch"`    // GOARCH
	Tables  map[string]map[string]int64 `json:"tables"`  // table name -> key -> offset, size or constant
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: layouts GOROOT...")
		os.Exit(2)
	}
	var facts []fact
	for _, root := range os.Args[1:] {
		for _, arch := range []string{"amd64", "arm64"} {
			f, err := extract(root, arch)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s (%s): %v\n", root, arch, err)
				os.Exit(1)
			}
			facts = append(facts, f)
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(facts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
