// Turns encodes and decodes JSON without a break in one goroutine, and says how far it is whenever it is asked.
//
//	turns -parked 10000
//
// It prints "ready" when the other goroutines are where they stay. Each line on standard input is answered with the number
// of values done so far and nanoseconds since the start.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

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
	var done atomic.Int64
	go work(&done)
	start := time.Now()
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(done.Load(), time.Since(start).Nanoseconds())
	}
}

func work(done *atomic.Int64) {
	value := order{ID: 7, Customer: "somebody", Notes: map[string]string{"gift": "no", "door": "left"}}
	for i := 0; i < 8; i++ {
		value.Items = append(value.Items, item{Name: "thing", Price: 1.25 * float64(i), Count: i})
	}
	for {
		text, err := json.Marshal(value)
		if err != nil {
			arm.Fail(err)
		}
		var back order
		if err := json.Unmarshal(text, &back); err != nil {
			arm.Fail(err)
		}
		done.Add(1)
	}
}
