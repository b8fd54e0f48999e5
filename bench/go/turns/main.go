// Turns encodes and decodes JSON without a break in one goroutine, and says how far it is whenever it is asked.
//
//	turns -parked 10000 -cpu 1
//
// It prints "ready" when the other goroutines are where they stay. Each line on standard input is answered with the number
// of values done so far, nanoseconds since the start, and nanoseconds of CPU time of the whole process. The goroutine that
// works answers itself, between two values: the kernel's account of a thread that runs on another CPU is up to a tick of its
// scheduler old, which is milliseconds. Garbage is collected when a line says "collect", before the answer, and else never: a
// cycle is as long as what is measured.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
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
	cpu := flag.Int("cpu", 0, "the only CPU that the goroutine that works runs on")
	flag.Parse()
	arm.Park(*parked)
	debug.SetGCPercent(-1)
	asked := make(chan string, 1)
	var waiting atomic.Bool
	answers := make(chan answer, 1)
	go work(*cpu, &waiting, asked, answers)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		asked <- lines.Text()
		waiting.Store(true)
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

// stayOn binds the calling thread to a CPU: on a virtual machine one may be half as fast as another for a while, and a goroutine
// that moves between them measures that.
func stayOn(cpu int) {
	const bits = 64
	var mask [16]uint64
	mask[cpu/bits] = 1 << (cpu % bits)
	_, _, failed := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if failed != 0 {
		arm.Fail(failed)
	}
}

func work(cpu int, waiting *atomic.Bool, asked <-chan string, answers chan<- answer) {
	runtime.LockOSThread()
	stayOn(cpu)
	start := time.Now()
	value := order{ID: 7, Customer: "somebody", Notes: map[string]string{"gift": "no", "door": "left"}}
	for i := 0; i < 8; i++ {
		value.Items = append(value.Items, item{Name: "thing", Price: 1.25 * float64(i), Count: i})
	}
	for done := 0; ; done++ {
		if waiting.CompareAndSwap(true, false) {
			if <-asked == "collect" {
				runtime.GC()
			}
			answers <- answer{done, time.Since(start).Nanoseconds(), cpuTime()}
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
