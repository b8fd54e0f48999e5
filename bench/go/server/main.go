// Server answers HTTP requests with a little work each, as a service does: it decodes a JSON document, looks something up
// under a lock and encodes an answer. Beside that it has parked goroutines, as a service with many idle connections has.
//
//	server -parked 10000
//
// At /nothing it does nothing for a request. It prints "listening on http://ADDRESS", then "ready". Commands on standard
// input: "start PROFILER", "stop", and "spin TIME", which answers with the pauses that a goroutine sees that does nothing but
// look at the clock.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"fgspy.bench/arm"
)

func main() {
	parked := flag.Int("parked", 10000, "goroutines that wait")
	flag.Parse()
	arm.Park(*parked)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		arm.Fail(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", (&shop{sold: map[string]int{}}).order)
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	go http.Serve(listener, mux)
	fmt.Printf("listening on http://%s\n", listener.Addr())
	arm.Commands(*parked, func(word, argument string) {
		duration, err := time.ParseDuration(argument)
		if word != "spin" || err != nil {
			arm.Fail(fmt.Errorf("no such command: %s %s", word, argument))
		}
		arm.Print(spin(duration))
	})
}

// An order is what a client sends.
type order struct {
	Customer string `json:"customer"`
	Items    []item `json:"items"`
}

type item struct {
	Name     string   `json:"name"`
	Quantity int      `json:"quantity"`
	Price    float64  `json:"price"`
	Tags     []string `json:"tags"`
}

// A receipt is the answer.
type receipt struct {
	Total float64        `json:"total"`
	Sold  map[string]int `json:"sold"`
}

type shop struct {
	mu   sync.Mutex
	sold map[string]int
}

func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := receipt{Sold: map[string]int{}}
	for _, item := range o.Items {
		answer.Total += float64(item.Quantity) * item.Price
		s.mu.Lock()
		s.sold[item.Name] += item.Quantity
		answer.Sold[item.Name] = s.sold[item.Name]
		s.mu.Unlock()
	}
	json.NewEncoder(w).Encode(answer)
}

// pauses is what a goroutine sees that never waits: times at which it did not run.
type pauses struct {
	// Longest is the longest of them, in nanoseconds.
	Longest int64 `json:"longest_ns"`
	// Lost is the sum of those that are longer than 20 µs, in nanoseconds: shorter ones are interrupts, and slow clocks.
	Lost int64 `json:"lost_ns"`
	// OverMillisecond is how many are longer than 1 ms.
	OverMillisecond int `json:"over_1ms"`
	// Total is how long it looked, in nanoseconds.
	Total int64 `json:"total_ns"`
}

func spin(duration time.Duration) pauses {
	var seen pauses
	begin := time.Now()
	previous := time.Duration(0)
	for previous < duration {
		now := time.Since(begin)
		gap := (now - previous).Nanoseconds()
		previous = now
		if gap > seen.Longest {
			seen.Longest = gap
		}
		if gap > 20_000 {
			seen.Lost += gap
		}
		if gap > 1_000_000 {
			seen.OverMillisecond++
		}
	}
	seen.Total = previous.Nanoseconds()
	return seen
}
