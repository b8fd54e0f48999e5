// Command self says what runtime/pprof says about it, so that a profile made from outside can be compared with that.
//
// It reads commands from standard input, a line each: "text" and "pprof" print its own goroutine profile with debug=1 and
// (gzipped, in hexadecimal) debug=0; "exec PROGRAM ARGUMENT" replaces it by another program. With the argument "spin" one
// goroutine computes.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"
)

type worker struct{ work chan int }

func (w *worker) run()                  { w.receive() }
func (w *worker) receive() int          { return <-w.work }
func deep(n int, block chan int)        { callDeeper(n, block) }
func lock(mu *sync.Mutex)               { mu.Lock() }
func wait(wg *sync.WaitGroup)           { wg.Wait() }
func sleep()                            { time.Sleep(1000 * time.Hour) }
func choose(a, b chan int)              { chooseOne(a, b) }
func accept(listener net.Listener)      { listener.Accept() }
func generic[T any](block chan T) (v T) { return <-block }

var spun int

func spin() {
	for {
		spun++
	}
}

func callDeeper(n int, block chan int) {
	if n > 0 {
		deep(n-1, block)
	}
	<-block
}

func chooseOne(a, b chan int) {
	select {
	case <-a:
	case b <- 1:
	}
}

func labelled(labels ...string) {
	pprof.Do(context.Background(), pprof.Labels(labels...), func(context.Context) {
		<-make(chan int)
	})
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "spin" {
		go spin()
	}
	block := make(chan int)
	for i := 0; i < 3; i++ {
		go (&worker{block}).run()
	}
	for i := 0; i < 2; i++ {
		go labelled("route", "/cart/{id}", "quote", "\"so\"\tit is")
	}
	go labelled("route", "/größe ☺")
	go deep(9, block)
	go choose(block, make(chan int))
	go sleep()
	go generic[string](make(chan string))
	var mu sync.Mutex
	mu.Lock()
	go lock(&mu)
	var wg sync.WaitGroup
	wg.Add(1)
	go wait(&wg)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go accept(listener)
	go func() { <-block }()

	// Everything above is parked once this goroutine alone is left to run; the test waits for that.
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		var out bytes.Buffer
		switch words[0] {
		case "text":
			pprof.Lookup("goroutine").WriteTo(&out, 1)
			os.Stdout.Write(out.Bytes())
		case "pprof":
			pprof.Lookup("goroutine").WriteTo(&out, 0)
			fmt.Println(hex.EncodeToString(out.Bytes()))
		case "exec":
			fmt.Println(syscall.Exec(words[1], words[1:], os.Environ()))
		}
		fmt.Println("end")
	}
}
