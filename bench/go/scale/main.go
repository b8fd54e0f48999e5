// Scale has many goroutines, of which some wake up at intervals.
//
//	scale -parked 9900 -active 100 -period 100ms
//
// It prints "ready" when all of them are where they stay. Commands on standard input: "start PROFILER" and "stop".
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"

	"fgspy.bench/arm"
)

func main() {
	parked := flag.Int("parked", 0, "goroutines that wait for ever")
	active := flag.Int("active", 0, "goroutines that wake up")
	period := flag.Duration("period", 100*time.Millisecond, "how long each of them sleeps in between")
	flag.Parse()
	wake(*active, *period)
	arm.Park(*parked)
	arm.Commands(*parked+*active, func(word, argument string) { arm.Fail(fmt.Errorf("no such command: %s %s", word, argument)) })
}

// wake starts goroutines that sleep for ever, a period at a time, evenly spread over the period.
func wake(n int, period time.Duration) {
	var started sync.WaitGroup
	started.Add(n)
	for i := 0; i < n; i++ {
		first := period * time.Duration(i) / time.Duration(n)
		go arm.Deep(arm.Depth, func() {
			started.Done()
			time.Sleep(first)
			for {
				time.Sleep(period)
			}
		})
	}
	started.Wait()
}
