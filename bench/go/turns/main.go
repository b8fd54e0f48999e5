// Turns does the same again and again in one goroutine, and says how far it is whenever it is asked.
//
//	turns -parked 10000 -cpu 1
//	turns -parked 10000 -cpu 1 -requests
//
// It encodes and decodes a value as JSON; or it sends a request to an HTTP server of its own, on the same CPU, which does that.
//
// It prints "ready" when the other goroutines are where they stay. Each line on standard input is answered with the number
// of values or requests done so far, nanoseconds since the start, nanoseconds of CPU time of the whole process, and of the times
// that single ones took since the last answer the median and the 99th percentile. The goroutine that works answers itself,
// between two values: the kernel's account of a thread that runs on another CPU is up to a tick of its scheduler old, which is
// milliseconds. Garbage is collected when a line says "collect", before the answer, and else never: a cycle is as long as what
// is measured.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
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
	requests := flag.Bool("requests", false, "send requests, and run on that CPU only")
	flag.Parse()
	prepare, do := func() { runtime.LockOSThread(); stayOn(*cpu) }, convert
	if *requests {
		stayWhollyOn(*cpu)
		prepare, do = func() {}, client(serve())
	}
	arm.Park(*parked)
	debug.SetGCPercent(-1)
	asked := make(chan string, 1)
	var waiting atomic.Bool
	answers := make(chan answer, 1)
	go func() {
		prepare()
		work(do, &waiting, asked, answers)
	}()
	fmt.Println("ready")
	// A goroutine that waits in a system call keeps its processor for milliseconds, and there may be only one.
	if err := syscall.SetNonblock(0, true); err != nil {
		arm.Fail(err)
	}
	lines := bufio.NewScanner(os.NewFile(0, "stdin"))
	for lines.Scan() {
		asked <- lines.Text()
		waiting.Store(true)
		is := <-answers
		fmt.Println(is.done, is.wall, is.cpu, is.median, is.p99)
	}
}

type answer struct {
	done                   int
	wall, cpu, median, p99 int64
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

// stayWhollyOn does the same for all threads: the program starts again, with what one thread has.
func stayWhollyOn(cpu int) {
	const mark = "FGSPY_TURNS_STAYS"
	if os.Getenv(mark) != "" {
		return
	}
	runtime.LockOSThread()
	stayOn(cpu)
	executable, err := os.Executable()
	if err == nil {
		err = syscall.Exec(executable, os.Args, append(os.Environ(), mark+"=1"))
	}
	arm.Fail(err)
}

func work(do func(), waiting *atomic.Bool, asked <-chan string, answers chan<- answer) {
	start := time.Now()
	last := start
	var times []int64
	for done := 0; ; done++ {
		if waiting.CompareAndSwap(true, false) {
			sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
			is := answer{median: quantile(times, 50), p99: quantile(times, 99)}
			times = times[:0]
			if <-asked == "collect" {
				runtime.GC()
			}
			last = time.Now()
			is.done, is.wall, is.cpu = done, last.Sub(start).Nanoseconds(), cpuTime()
			answers <- is
		}
		do()
		now := time.Now()
		times = append(times, now.Sub(last).Nanoseconds())
		last = now
	}
}

// quantile is the least of times, in ascending order, that so many percent are not above.
func quantile(times []int64, percent int) int64 {
	if len(times) == 0 {
		return 0
	}
	return times[(len(times)*percent+99)/100-1]
}

var value = func() order {
	value := order{ID: 7, Customer: "somebody", Notes: map[string]string{"gift": "no", "door": "left"}}
	for i := 0; i < 8; i++ {
		value.Items = append(value.Items, item{Name: "thing", Price: 1.25 * float64(i), Count: i})
	}
	return value
}()

func convert() {
	text, err := json.Marshal(value)
	if err != nil {
		arm.Fail(err)
	}
	var back order
	if err := json.Unmarshal(text, &back); err != nil {
		arm.Fail(err)
	}
}

// serve answers on the address that it gives.
func serve() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		arm.Fail(err)
	}
	go func() {
		arm.Fail(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			convert()
			io.WriteString(w, "done")
		})))
	}()
	return "http://" + listener.Addr().String()
}

// client sends one request each time it is called, all on one connection.
func client(address string) func() {
	return func() {
		answer, err := http.Get(address)
		if err != nil {
			arm.Fail(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			arm.Fail(err)
		}
		answer.Body.Close()
	}
}
