// Turns encodes and decodes JSON without a break in one goroutine, and says how far it is whenever it is asked.
//
//	turns -parked 10000
//
// It prints "ready" when the other goroutines are where they stay. Each line on standard input is answered with the number
// of values done so far, nanoseconds since the start, and nanoseconds of CPU time of the whole process. The goroutine that
// works answers itself, between two values: the kernel's account of a thread that runs on another CPU is up to a tick of its
// scheduler old, which is milliseconds of a turn's forty. And it answers when the garbage collector has just been through, so that what
// lies between two answers has whole cycles of it: with many goroutines a cycle is as long as a turn.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"fgspy.bench/arm"
)

type order struct {
	ID       int               `json:"id"`
	Customer string            `json:"customer"`
	Items    []item            `json:"items"`
	Notes    map[string]string `json:"notes"`
}

type item struct {
	Name  string  `json:"name"`
	Price float64 `json:"price"`
	Count int     `json:"count"`
}

func main() {
	parked := flag.Int("parked", 0, "goroutines that wait for ever")
	flag.Parse()
	arm.Park(*parked)
	var asked atomic.Bool
	answers := make(chan answer, 1)
	go work(&asked, answers)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		asked.Store(true)
		is := <-answers
		fmt.Println(is.done, is.wall, is.cpu)
	}
}

type answer struct {
	done      int
	wall, cpu int64
}

// cpuTime is CLOCK_PROCESS_CPUTIME_ID, in nanoseconds.
func cpuTime() int64 {
	const processCPUTime = 2
	var time syscall.Timespec
	_, _, failed := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, processCPUTime, uintptr(unsafe.Pointer(&time)), 0)
	if failed != 0 {
		arm.Fail(failed)
	}
	return time.Nano()
}

// count adds one to cycles whenever the garbage collector has been through: its finalizer then finds that nobody has the
// object, and makes another.
func count(cycles *atomic.Int64) {
	type object struct{ cycles *atomic.Int64 }
	runtime.SetFinalizer(&object{cycles}, func(o *object) {
		o.cycles.Add(1)
		count(o.cycles)
	})
}

func work(asked *atomic.Bool, answers chan<- answer) {
	start := time.Now()
	var cycles atomic.Int64
	count(&cycles)
	value := order{ID: 7, Customer: "somebody", Notes: map[string]string{"gift": "no", "door": "left"}}
	for i := 0; i < 8; i++ {
		value.Items = append(value.Items, item{Name: "thing", Price: 1.25 * float64(i), Count: i})
	}
	for done, seen := 0, int64(0); ; done++ {
		if now := cycles.Load(); now != seen {
			seen = now
			if asked.CompareAndSwap(true, false) {
				answers <- answer{done, time.Since(start).Nanoseconds(), cpuTime()}
			}
		}
		text, err := json.Marshal(value)
		if err != nil {
			arm.Fail(err)
		}
		var back order
		if err := json.Unmarshal(text, &back); err != nil {
			arm.Fail(err)
		}
	}
}
