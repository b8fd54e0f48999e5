// A program with goroutine 1 and three goroutines in blocking system calls, each on a thread of its own. Ends when its
// standard input does.
package main

import (
	"io"
	"os"
	"syscall"
)

func main() {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	for i := 0; i < 3; i++ {
		go func() {
			var b [1]byte
			syscall.Read(pipe[0], b[:])
		}()
	}
	io.Copy(io.Discard, os.Stdin)
}
