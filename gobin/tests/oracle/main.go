// A program that says what its own runtime makes of a code address: the truth that gobin is compared with.
//
// The first line of input is the link-time address of main.main; every other line is a link-time address. For each of
// those it prints one line: the frames, innermost first, separated by tabs, each as kind|function|file|line|start, where
// kind is "i" for an inlined function and "f" for a real one. It must be built with -ldflags=-checklinkname=0 by
// Go 1.23 or newer.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/user" // with cgo, so that external linking has something to link
	"reflect"
	"runtime"
	"sort"
	"strconv"
	"strings"
	_ "unsafe" // for go:linkname
)

// expand replaces an address by itself and its inlined callers, as runtime/pprof does.
//
//go:linkname expand runtime/pprof.runtime_expandFinalInlineFrame
func expand(stack []uintptr) []uintptr

func describe(address uintptr) string {
	// The runtime takes addresses for return addresses and subtracts one.
	frames := runtime.CallersFrames(expand([]uintptr{address + 1}))
	var words []string
	for {
		frame, more := frames.Next()
		if frame.PC != 0 {
			kind := "f"
			if frame.Func == nil {
				kind = "i"
			}
			words = append(words, fmt.Sprintf("%s|%s|%s|%d|%d", kind, frame.Function, frame.File, frame.Line, startLine(&frame)))
		}
		if !more {
			return strings.Join(words, "\t")
		}
	}
}

func main() {
	exercise()
	input := bufio.NewScanner(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	bias, first := uintptr(0), true
	for input.Scan() {
		address, err := strconv.ParseUint(input.Text(), 0, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if first {
			bias = reflect.ValueOf(main).Pointer() - uintptr(address)
			first = false
			continue
		}
		fmt.Fprintln(output, describe(uintptr(address)+bias))
	}
}

// What follows only has to be linked in: code of every shape that the compiler treats differently.

type shape interface{ area() float64 }
type square struct{ side float64 }
type pair struct{ a, b interface{} }
type wrapped struct{ *square }

func (s square) area() float64 { return product(s.side, s.side) }
func product(a, b float64) float64 {
	return scale(a) * b
}
func scale(a float64) float64 { return a + 1 }

//go:noinline
func total(shapes []shape) (sum float64) {
	defer func() { sum += scale(sum) }()
	for _, s := range shapes {
		sum += s.area()
	}
	return product(sum, 2)
}

func exercise() {
	shapes := []shape{square{1}, &square{2}, wrapped{&square{3}}}
	sort.Slice(shapes, func(i, j int) bool { return shapes[i].area() < shapes[j].area() })
	keys := map[pair]float64{{1, "x"}: total(shapes)}
	method := wrapped.area
	if keys[pair{1, "x"}]+method(wrapped{&square{1}}) < 0 {
		fmt.Println(user.Current())
		fmt.Println(json.Marshal(keys))
	}
}
