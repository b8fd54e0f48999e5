// Package arm makes a program one arm of an experiment: it parks goroutines in it and runs a profiler in it, or none.
package arm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/felixge/fgprof"

	"fgspy.bench/stw"
)

// Hz is the rate of every profiler here. It is that of fgprof, which has no other.
const Hz = 99

// Depth is how many calls deep a parked goroutine is, as is usual in a server.
const Depth = 8

// Park starts n goroutines, each waiting for a channel, and returns when all of them have got there and the garbage of
// starting them is collected.
func Park(n int) {
	var started sync.WaitGroup
	started.Add(n)
	for i := 0; i < n; i++ {
		go Deep(Depth, func() {
			started.Done()
			<-never
		})
	}
	started.Wait()
	runtime.GC()
}

var never = make(chan struct{})

// Deep calls do with n more frames on the stack.
//
//go:noinline
func Deep(n int, do func()) int {
	if n == 0 {
		do()
		return 0
	}
	return Deep(n-1, do) + 1
}

// Report is what a profiler did.
type Report struct {
	// Profiler is its name.
	Profiler string `json:"profiler"`
	// Seconds is how long it ran.
	Seconds float64 `json:"seconds"`
	// Ticks is how often it sampled the program.
	Ticks int `json:"ticks"`
}

// A Profiler runs in this program.
type Profiler struct {
	name    string
	started time.Time
	stop    func() int
}

// Start starts the profiler of that name: fgprof, stw or none. The program has that many goroutines that were started
// through Deep and never end, so every tick must see them: the ticks of fgprof are counted by that.
func Start(name string, goroutines int) *Profiler {
	p := &Profiler{name: name, started: time.Now()}
	switch name {
	case "none":
		p.stop = func() int { return 0 }
	case "stw":
		sampler := stw.Start(time.Second / Hz)
		p.stop = func() int {
			ticks, seen := sampler.Stop()
			if seen < ticks*goroutines {
				Fail(fmt.Errorf("%d ticks saw %d goroutines, but each should see %d", ticks, seen, goroutines))
			}
			return ticks
		}
	case "fgprof":
		var profile bytes.Buffer
		stop := fgprof.Start(&profile, fgprof.FormatFolded)
		p.stop = func() int {
			if err := stop(); err != nil {
				Fail(err)
			}
			return ticks(&profile, goroutines)
		}
	default:
		Fail(fmt.Errorf("there is no profiler %q", name))
	}
	return p
}

// Stop stops the profiler and says what it did.
func (p *Profiler) Stop() Report {
	seconds := time.Since(p.started).Seconds()
	return Report{Profiler: p.name, Seconds: seconds, Ticks: p.stop()}
}

// ticks is how often fgprof saw each of the goroutines.
func ticks(folded *bytes.Buffer, goroutines int) int {
	seen := 0
	lines := bufio.NewScanner(folded)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !strings.Contains(line, "arm.Deep") {
			continue
		}
		n, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
		if err != nil {
			Fail(err)
		}
		seen += n
	}
	if err := lines.Err(); err != nil {
		Fail(err)
	}
	if goroutines == 0 {
		return 0
	}
	return seen / goroutines
}

// Print writes a value as one line of JSON to standard output.
func Print(value interface{}) {
	line, err := json.Marshal(value)
	if err != nil {
		Fail(err)
	}
	fmt.Printf("%s\n", line)
}

// Fail ends the program with a message.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
