// The benchmarks of encoding/json in one arm of the experiment. This file is laid over the package's folder in the
// toolchain (go test -overlay), so the benchmarks are Go's own to the last byte.
package json_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"fgspy.bench/arm"
)

// TestMain parks $FGSPY_BENCH_PARKED goroutines, prints "ready", waits for a line on standard input, runs the benchmarks
// with the profiler $FGSPY_BENCH_PROFILER and prints what that did.
//
// $FGSPY_BENCH_PLAN says how often each benchmark is to run, as in "CodeMarshal=12 MarshalBytes/32=9000": the same work in
// every arm, and without the attempts that find such a number. Without a plan, the flags say what runs.
func TestMain(m *testing.M) {
	parked, err := strconv.Atoi(os.Getenv("FGSPY_BENCH_PARKED"))
	if err != nil {
		arm.Fail(err)
	}
	flag.Parse()
	arm.Park(parked)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	profiler := arm.Start(os.Getenv("FGSPY_BENCH_PROFILER"), parked)
	plan := strings.Fields(os.Getenv("FGSPY_BENCH_PLAN"))
	code := 0
	for _, step := range plan {
		name, count, _ := strings.Cut(step, "=")
		set("test.bench", "^Benchmark"+strings.ReplaceAll(name, "/", "$/^")+"$")
		set("test.benchtime", count+"x")
		code |= m.Run()
	}
	if len(plan) == 0 {
		code = m.Run()
	}
	arm.Print(profiler.Stop())
	os.Exit(code)
}

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		arm.Fail(err)
	}
}
