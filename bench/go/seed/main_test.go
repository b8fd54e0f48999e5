// The benchmarks of encoding/json in one arm of the experiment. This file is laid over the package's folder in the
// toolchain (go test -overlay), so the benchmarks are Go's own to the last byte.
package json_test

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"testing"

	"fgspy.bench/arm"
)

// TestMain parks $FGSPY_BENCH_PARKED goroutines, prints "ready", waits for a line on standard input, runs the benchmarks
// with the profiler $FGSPY_BENCH_PROFILER and prints what that did.
func TestMain(m *testing.M) {
	parked, err := strconv.Atoi(os.Getenv("FGSPY_BENCH_PARKED"))
	if err != nil {
		arm.Fail(err)
	}
	arm.Park(parked)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	profiler := arm.Start(os.Getenv("FGSPY_BENCH_PROFILER"), parked)
	code := m.Run()
	arm.Print(profiler.Stop())
	os.Exit(code)
}
