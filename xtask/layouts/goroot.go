package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// goroot type-checks packages of one GOROOT from source, for one architecture.
type goroot struct {
	version string // "1.23.9"
	minor   int    // 23
	ctx     build.Context
	fset    *token.FileSet
	sizes   types.Sizes
	loaded  map[string]*types.Package
}

// openGoroot asks the go command of the GOROOT itself for its version and build tags, so that experiments that are on
// by default (exectracer2, swissmap, ...) select the same source files as in a real build.
func openGoroot(root, arch string) (*goroot, error) {
	const query = "{{context.Compiler}};{{range context.ReleaseTags}}{{.}},{{end}};{{range context.ToolTags}}{{.}},{{end}}"
	list, err := goCommand(root, arch, "list", "-f", query, "runtime")
	if err != nil {
		return nil, err
	}
	parts := strings.Split(list, ";")
	if len(parts) != 3 {
		return nil, fmt.Errorf("go list printed %q", list)
	}
	version, err := goCommand(root, arch, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "go"), " ")
	number := strings.Split(version, ".")
	if len(number) < 2 || number[0] != "1" {
		return nil, fmt.Errorf("version %q is not 1.MINOR[.PATCH]", version)
	}
	minor, err := strconv.Atoi(number[1])
	if err != nil {
		return nil, fmt.Errorf("version %q is not a release: %w", version, err)
	}
	ctx := build.Default
	ctx.GOROOT, ctx.GOOS, ctx.GOARCH, ctx.Compiler = root, "linux", arch, parts[0]
	ctx.CgoEnabled, ctx.BuildTags = true, nil
	ctx.ReleaseTags, ctx.ToolTags = splitTags(parts[1]), splitTags(parts[2])
	return &goroot{
		version: version,
		minor:   minor,
		ctx:     ctx,
		fset:    token.NewFileSet(),
		sizes:   types.SizesFor("gc", arch),
		loaded:  map[string]*types.Package{},
	}, nil
}

func splitTags(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func goCommand(root, arch string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(root, "bin", "go"), args...)
	cmd.Dir = root
	// Nothing of the caller's Go settings may leak in: an experiment or a toolchain switch would change the answer.
	cmd.Env = append(os.Environ(), "GOROOT="+root, "GOOS=linux", "GOARCH="+arch, "GOENV=off", "GOFLAGS=",
		"GOTOOLCHAIN=local", "GOEXPERIMENT=", "GOAMD64=", "GOARM64=", "GOWORK=off", "GO111MODULE=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// dir is where a package's sources are: the standard library brings copies of packages that are not its own.
func (r *goroot) dir(path string) string {
	src := filepath.Join(r.ctx.GOROOT, "src")
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		src = filepath.Join(src, "vendor")
	}
	return filepath.Join(src, filepath.FromSlash(path))
}

// Import loads a package of the standard library and, through go/types, all that it imports.
func (r *goroot) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if p := r.loaded[path]; p != nil {
		return p, nil
	}
	dir := r.dir(path)
	found, err := r.ctx.ImportDir(dir, 0)
	if err == nil && len(found.CgoFiles) > 0 {
		// What cgo makes cannot be had from source alone; packages such as net do without as well.
		without := r.ctx
		without.CgoEnabled = false
		found, err = without.ImportDir(dir, 0)
	}
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range found.GoFiles {
		f, err := parser.ParseFile(r.fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	var problems []error
	conf := types.Config{
		IgnoreFuncBodies: true,
		Importer:         r,
		Sizes:            r.sizes,
		Error:            func(err error) { problems = append(problems, err) },
	}
	p, _ := conf.Check(path, r.fset, files, nil)
	// A type that could not be resolved has size 0 and would shift every later field without a word.
	if len(problems) > 0 {
		return nil, fmt.Errorf("package %s: %w", path, errors.Join(problems[:min(len(problems), 5)]...))
	}
	r.loaded[path] = p
	return p, nil
}
