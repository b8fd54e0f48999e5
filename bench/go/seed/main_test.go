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

// TestMain parks $FGSPY_BENCH_PARKED goroutines, prints "ready" and obeys the lines of standard input until it closes:
//
//	pass PROFILER CodeMarshal=12 MarshalBytes/32=9000 ...
//
// runs each benchmark that many times, so that every arm does the same work, with a profiler, and ends with a line of JSON
// that says what the profiler did. Without a list, the flags say what runs.
func TestMain(m *testing.M) {
	parked, err := strconv.Atoi(os.Getenv("FGSPY_BENCH_PARKED"))
	if err != nil {
		arm.Fail(err)
	}
	flag.Parse()
	arm.Park(parked)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "pass" {
			arm.Fail(fmt.Errorf("no such command: %s", lines.Text()))
		}
		pass(m, parked, words[1], words[2:])
	}
}

func pass(m *testing.M, parked int, profiler string, plan []string) {
	running := arm.Start(profiler, parked)
	failed := 0
	for _, step := range plan {
		name, count, _ := strings.Cut(step, "=")
		set("test.bench", "^Benchmark"+strings.ReplaceAll(name, "/", "$/^")+"$")
		set("test.benchtime", count+"x")
		failed |= m.Run()
	}
	if len(plan) == 0 {
		failed = m.Run()
	}
	if failed != 0 {
		arm.Fail(fmt.Errorf("the benchmarks failed"))
	}
	arm.Print(running.Stop())
}

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		arm.Fail(err)
	}
}
