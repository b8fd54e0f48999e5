// Load puts load on the server.
//
//	load -url URL -rate 2000 -for 5s     requests at fixed times, whether or not earlier ones are answered (an open loop)
//	load -url URL -rate 0 -for 3s        as many as the server answers, from 16 clients (a closed loop)
//
// With -get it asks for the address and sends nothing. With -asked it says "ready" and answers each line "count" of standard
// input with how many requests were answered so far.
//
// It prints one line of JSON. A latency begins when the request was due, not when it was sent: what had to wait for a
// free connection has waited.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"fgspy.bench/arm"
)

// result is what came of the load. Times are in nanoseconds.
type result struct {
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
	P50      int64   `json:"p50_ns"`
	P99      int64   `json:"p99_ns"`
	P999     int64   `json:"p999_ns"`
	Longest  int64   `json:"longest_ns"`
}

func main() {
	url := flag.String("url", "", "the server")
	rate := flag.Float64("rate", 0, "requests a second; 0 for as many as possible")
	duration := flag.Duration("for", 5*time.Second, "how long")
	get := flag.Bool("get", false, "send GET and no body")
	asked := flag.Bool("asked", false, "answer commands")
	flag.Parse()
	client := &client{method: http.MethodPost, url: *url, body: body()}
	if *get {
		client.method, client.body = http.MethodGet, nil
	}
	if *asked {
		go arm.Commands(0, func(string, string) { arm.Print(client.answered.Load()) })
	}
	if *rate > 0 {
		arm.Print(client.open(*rate, *duration))
	} else {
		arm.Print(client.closed(16, *duration))
	}
}

// body is an order of twelve items, always the same.
func body() []byte {
	type item struct {
		Name     string   `json:"name"`
		Quantity int      `json:"quantity"`
		Price    float64  `json:"price"`
		Tags     []string `json:"tags"`
	}
	var items []item
	for i := 0; i < 12; i++ {
		items = append(items, item{fmt.Sprintf("item %d", i), i + 1, 1.25 * float64(i), []string{"new", "blue", "fragile"}})
	}
	text, err := json.Marshal(map[string]interface{}{"customer": "somebody", "items": items})
	if err != nil {
		arm.Fail(err)
	}
	return text
}

type client struct {
	method   string
	url      string
	body     []byte
	answered atomic.Uint64
}

// connections is how many requests can be under way: far more than there are at half load.
const connections = 128

// open sends a request at each of the times that the rate says.
func (c *client) open(rate float64, duration time.Duration) result {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	total := int(rate * duration.Seconds())
	latencies := make([]int64, total)
	due := make(chan int, total)
	begin := time.Now()
	at := func(i int) time.Duration { return time.Duration(float64(i) / rate * float64(time.Second)) }
	var workers sync.WaitGroup
	for i := 0; i < connections; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range due {
				c.request(transport)
				latencies[i] = (time.Since(begin) - at(i)).Nanoseconds()
			}
		}()
	}
	for i := 0; i < total; i++ {
		time.Sleep(at(i) - time.Since(begin))
		due <- i
	}
	close(due)
	workers.Wait()
	return summary(latencies, time.Since(begin))
}

// closed sends a request whenever the one before it is answered.
func (c *client) closed(clients int, duration time.Duration) result {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	var (
		done    sync.WaitGroup
		mu      sync.Mutex
		all     []int64
		stopped atomic.Bool
	)
	begin := time.Now()
	time.AfterFunc(duration, func() { stopped.Store(true) })
	for i := 0; i < clients; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			var own []int64
			for !stopped.Load() {
				sent := time.Now()
				c.request(transport)
				own = append(own, time.Since(sent).Nanoseconds())
			}
			mu.Lock()
			all = append(all, own...)
			mu.Unlock()
		}()
	}
	done.Wait()
	return summary(all, time.Since(begin))
}

func (c *client) request(transport *http.Transport) {
	request, err := http.NewRequest(c.method, c.url, bytes.NewReader(c.body))
	if err != nil {
		arm.Fail(err)
	}
	request.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	response, err := transport.RoundTrip(request)
	if err != nil {
		arm.Fail(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		arm.Fail(err)
	}
	if response.StatusCode != http.StatusOK {
		arm.Fail(fmt.Errorf("the server answered %s", response.Status))
	}
	c.answered.Add(1)
}

func summary(latencies []int64, took time.Duration) result {
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	// The smallest latency that at least this share of the requests do not exceed.
	quantile := func(share float64) int64 {
		rank := int(share*float64(len(latencies))+0.999999) - 1
		if rank < 0 {
			rank = 0
		}
		return latencies[rank]
	}
	if len(latencies) == 0 {
		arm.Fail(fmt.Errorf("no request was answered"))
	}
	return result{
		Requests: len(latencies), Seconds: took.Seconds(),
		P50: quantile(0.5), P99: quantile(0.99), P999: quantile(0.999), Longest: latencies[len(latencies)-1],
	}
}
