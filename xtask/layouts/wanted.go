package main

import "go/types"

// releases is a range of Go minor versions; 0 leaves an end open. A key that is wanted in a release must exist there:
// a renamed or removed field stops the generator, and somebody looks, instead of vanishing from the table.
type releases struct{ from, before int }

func (v releases) has(minor int) bool {
	return minor >= v.from && (v.before == 0 || minor < v.before)
}

type entry struct {
	key  string
	in   releases
	eval func(r *goroot, pkg *types.Package) (int64, error)
}

type table struct {
	name    string
	pkg     string
	in      releases
	entries []entry
	prefix  string // also every constant whose name begins with it, under the rest of its name
}

func (e entry) since(minor int) entry  { e.in.from = minor; return e }
func (e entry) before(minor int) entry { e.in.before = minor; return e }
func (e entry) as(key string) entry    { e.key = key; return e }

func field(typ, path string) entry {
	return entry{key: path, eval: func(r *goroot, pkg *types.Package) (int64, error) {
		return fieldOffset(r, pkg, typ, path)
	}}
}

// of is a field in a table of several structures.
func of(typ, path string) entry { return field(typ, path).as(typ + "." + path) }

// pointer is where the pointer is in a field of package sync/atomic.
func pointer(typ, path string) entry {
	return entry{key: path, eval: func(r *goroot, pkg *types.Package) (int64, error) {
		return pointerOffset(r, pkg, typ, path)
	}}
}

func size(typ string) entry {
	return entry{key: "size", eval: func(r *goroot, pkg *types.Package) (int64, error) { return typeSize(r, pkg, typ) }}
}

func value(name string) entry {
	return entry{key: name, eval: func(_ *goroot, pkg *types.Package) (int64, error) { return constValue(pkg, name) }}
}

func length(name string) entry {
	return entry{key: name, eval: func(_ *goroot, pkg *types.Package) (int64, error) { return arrayLen(pkg, name) }}
}

// structure is a table of field offsets; `more` adds fields that only some releases have.
func structure(typ string, always []string, more ...entry) table {
	t := table{name: typ, pkg: "runtime"}
	for _, path := range always {
		t.entries = append(t.entries, field(typ, path))
	}
	t.entries = append(t.entries, more...)
	return t
}

var wanted = []table{
	structure("g", []string{
		"stack.lo", "stack.hi", "stackguard0", "_panic", "_defer", "m", "sched", "syscallsp", "syscallpc", "stktopsp",
		"param", "atomicstatus", "goid", "schedlink", "waitsince", "waitreason", "asyncSafePoint", "trackingSeq",
		"lockedm", "gopc", "startpc", "waiting", "labels",
	},
		size("g"), field("g", "syscallbp").since(23), field("g", "parentGoid").since(21)),
	structure("gobuf", []string{"sp", "pc", "g", "ctxt", "lr", "bp"}, size("gobuf")),
	structure("m", []string{
		"g0", "morebuf", "procid", "gsignal", "tls", "curg", "p", "syscalltick", "id", "spinning", "blocked", "incgo", "ncgo", "alllink",
		"lockedg", "vdsoSP", "vdsoPC",
	}, size("m")),
	structure("p", []string{
		"id", "status", "link", "schedtick", "syscalltick", "m", "mcache", "runqhead", "runqtail", "runq", "runnext",
	}),
	structure("mcache", []string{"flushGen"}),
	structure("schedt", []string{
		"midle", "nmidle", "pidle", "npidle", "nmspinning", "runq.head", "runq.tail", "disable.user", "disable.runnable",
		"gcwaiting",
	},
		field("schedt", "runqsize").before(25), field("schedt", "runq.size").since(25)),
	structure("moduledata", []string{
		"pcHeader", "funcnametab", "cutab", "filetab", "pctab", "pclntable", "ftab", "findfunctab", "minpc", "maxpc",
		"text", "etext", "types", "etypes", "textsectmap", "pluginpath", "modulename", "hasmain", "bad", "next",
	},
		size("moduledata"), field("moduledata", "rodata").since(18), field("moduledata", "gofunc").since(18)),
	// From 1.26 on elem and c are hidden from the garbage collector at times; then only vu has the address.
	structure("sudog", []string{"g", "next", "isSelect", "waitlink"},
		field("sudog", "elem").before(26), field("sudog", "elem.vu").since(26),
		field("sudog", "c").before(26), field("sudog", "c.maybeTraceablePtr.vu").since(26), size("sudog")),
	// Maps up to 1.23: those of labels and of the headers of requests.
	before(24, structure("hmap", []string{"count", "flags", "B", "hash0", "buckets", "oldbuckets"})),
	{name: "bmap", pkg: "runtime", in: releases{0, 24}, entries: []entry{
		value("dataOffset"), value("emptyOne"), value("minTopHash"), value("sameSizeGrow"),
		value("bucketCnt").before(22),
	}},
	{name: "bmap", pkg: "internal/abi", in: releases{22, 24}, entries: []entry{value("MapBucketCount").as("bucketCnt")}},
	// Maps since 1.24.
	{name: "map", pkg: "internal/runtime/maps", in: releases{from: 24}, entries: []entry{
		field("Map", "used"), field("Map", "seed"), field("Map", "dirPtr"), field("Map", "dirLen"), field("Map", "writing"),
		field("table", "groups.data"), field("table", "groups.lengthMask"),
	}},
	// Since 1.24 labels are a slice of key and value; 1.26 moved the types.
	{name: "labels", pkg: "runtime/pprof", in: releases{24, 26}, entries: []entry{
		field("labelMap", "LabelSet.list").as("list"), field("label", "key"), field("label", "value"), size("label"),
	}},
	{name: "labels", pkg: "runtime/pprof", in: releases{from: 26}, entries: []entry{
		field("labelMap", "Set.List").as("list"),
	}},
	{name: "labels", pkg: "internal/runtime/pprof/label", in: releases{from: 26}, entries: []entry{
		field("Label", "Key").as("key"), field("Label", "Value").as("value"), size("Label"),
	}},
	// Requests. In an atomic.Value, which curReq was before it was an atomic.Pointer, the pointer is the second word.
	{name: "http", pkg: "net/http", entries: []entry{
		pointer("conn", "curReq").as("conn.curReq"), of("conn", "curState"), of("conn", "server"), of("conn", "r"),
		of("connReader", "conn"), of("response", "conn"), of("response", "req"),
		of("Request", "Method"), of("Request", "URL"), of("Request", "Proto"), of("Request", "ProtoMajor"),
		of("Request", "ProtoMinor"), of("Request", "Header"), of("Request", "RequestURI"), of("Request", "ctx"),
		of("Request", "Pattern").since(23), of("Request", "pat").since(22), of("pattern", "str").since(22),
	}},
	// What HTTP/2 knows of a request, since it is a package of its own.
	{name: "http2", pkg: "net/http/internal/http2", in: releases{from: 27}, entries: []entry{
		field("ServerRequest", "Method"), field("ServerRequest", "URL"), field("ServerRequest", "Proto"),
		field("ServerRequest", "ProtoMajor"), field("ServerRequest", "ProtoMinor"), field("ServerRequest", "Header"),
		field("ServerRequest", "RequestURI"), field("ServerRequest", "Context"),
	}},
	{name: "context", pkg: "context", entries: []entry{
		of("cancelCtx", "err"), of("valueCtx", "key"), of("valueCtx", "val"),
	}},
	{name: "status", pkg: "runtime", entries: []entry{
		value("_Gidle"), value("_Grunnable"), value("_Grunning"), value("_Gsyscall"), value("_Gwaiting"), value("_Gdead"),
		value("_Gcopystack"), value("_Gpreempted"), value("_Gscan"), value("_Gleaked").since(26), value("_Gdeadextra").since(26),
	}},
	{name: "pstatus", pkg: "runtime", entries: []entry{
		value("_Pidle"), value("_Prunning"), value("_Psyscall").before(26), value("_Pgcstop"), value("_Pdead"),
	}},
	{name: "waitReason", pkg: "runtime", entries: []entry{length("waitReasonStrings").as("count")}},
	// All of them, so that one that is new cannot be overlooked.
	{name: "funcID", pkg: "runtime", in: releases{0, 21}, prefix: "funcID_"},
	{name: "funcID", pkg: "internal/abi", in: releases{from: 21}, prefix: "FuncID_", entries: []entry{
		value("FuncIDNormal").as("normal"), value("FuncIDWrapper").as("wrapper"),
	}},
}

func before(minor int, t table) table { t.in.before = minor; return t }
