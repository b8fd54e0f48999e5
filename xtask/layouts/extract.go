package main

import (
	"fmt"
	"go/constant"
	"go/types"
	"strings"
)

// extract computes every wanted table that exists in this release.
func extract(root, arch string) (fact, error) {
	r, err := openGoroot(root, arch)
	if err != nil {
		return fact{}, err
	}
	out := fact{Version: r.version, Arch: arch, Tables: map[string]map[string]int64{}}
	for _, t := range wanted {
		if !t.in.has(r.minor) {
			continue
		}
		pkg, err := r.Import(t.pkg)
		if err != nil {
			return fact{}, err
		}
		table := out.Tables[t.name]
		if table == nil {
			table = map[string]int64{}
			out.Tables[t.name] = table
		}
		for _, e := range append(constants(pkg, t.prefix), t.entries...) {
			if !e.in.has(r.minor) {
				continue
			}
			if _, twice := table[e.key]; twice {
				return fact{}, fmt.Errorf("wanted.go: %s.%s is defined twice for Go 1.%d", t.name, e.key, r.minor)
			}
			table[e.key], err = e.eval(r, pkg)
			if err != nil {
				return fact{}, fmt.Errorf("%s.%s: %w", t.name, e.key, err)
			}
		}
	}
	return out, nil
}

// constants lists the constants of a package whose names begin with a prefix.
func constants(pkg *types.Package, prefix string) []entry {
	var found []entry
	for _, name := range pkg.Scope().Names() {
		key, ok := strings.CutPrefix(name, prefix)
		_, isConst := pkg.Scope().Lookup(name).(*types.Const)
		if prefix != "" && ok && isConst {
			found = append(found, value(name).as(key))
		}
	}
	return found
}

func lookup[T types.Object](pkg *types.Package, name string) (T, error) {
	o, ok := pkg.Scope().Lookup(name).(T)
	if !ok {
		return o, fmt.Errorf("package %s has no such %T: %s", pkg.Path(), o, name)
	}
	return o, nil
}

// fieldOffset follows a dotted path ("sched.pc") through nested structs.
func fieldOffset(r *goroot, pkg *types.Package, typ, path string) (int64, error) {
	offset, _, err := findField(r, pkg, typ, path)
	return offset, err
}

// pointerOffset is where the word is that an atomic.Pointer, or the interface in an atomic.Value, points with.
func pointerOffset(r *goroot, pkg *types.Package, typ, path string) (int64, error) {
	offset, t, err := findField(r, pkg, typ, path+".v")
	if _, ok := t.(*types.Interface); ok {
		offset += r.sizes.Sizeof(types.Typ[types.Uintptr])
	}
	return offset, err
}

// findField gives the offset of a field and the type that its own stands for.
func findField(r *goroot, pkg *types.Package, typ, path string) (int64, types.Type, error) {
	name, err := lookup[*types.TypeName](pkg, typ)
	if err != nil {
		return 0, nil, err
	}
	t, offset := name.Type(), int64(0)
	for _, part := range strings.Split(path, ".") {
		st, ok := t.Underlying().(*types.Struct)
		if !ok {
			return 0, nil, fmt.Errorf("%s.%s: %s is not a struct", typ, path, t)
		}
		fields := make([]*types.Var, st.NumFields())
		at := -1
		for i := range fields {
			fields[i] = st.Field(i)
			if fields[i].Name() == part {
				at = i
			}
		}
		if at < 0 {
			return 0, nil, fmt.Errorf("%s.%s: no field %s in this release", typ, path, part)
		}
		offset += r.sizes.Offsetsof(fields)[at]
		t = fields[at].Type()
	}
	return offset, t.Underlying(), nil
}

func typeSize(r *goroot, pkg *types.Package, typ string) (int64, error) {
	name, err := lookup[*types.TypeName](pkg, typ)
	if err != nil {
		return 0, err
	}
	return r.sizes.Sizeof(name.Type()), nil
}

func constValue(pkg *types.Package, name string) (int64, error) {
	c, err := lookup[*types.Const](pkg, name)
	if err != nil {
		return 0, err
	}
	v, exact := constant.Int64Val(constant.ToInt(c.Val()))
	if !exact {
		return 0, fmt.Errorf("%s = %s is not an integer", name, c.Val())
	}
	return v, nil
}

func arrayLen(pkg *types.Package, name string) (int64, error) {
	v, err := lookup[*types.Var](pkg, name)
	if err != nil {
		return 0, err
	}
	a, ok := v.Type().Underlying().(*types.Array)
	if !ok {
		return 0, fmt.Errorf("%s is not an array", name)
	}
	return a.Len(), nil
}
