package arm

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Commands prints "ready" and obeys the lines of standard input until it closes: "start NAME" starts a profiler, "stop"
// stops it, and what else the program knows. Each is answered by one line of JSON.
func Commands(goroutines int, others func(word, argument string)) {
	fmt.Println("ready")
	var profiler *Profiler
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, argument, _ := strings.Cut(lines.Text(), " ")
		switch {
		case word == "start" && profiler == nil:
			profiler = Start(argument, goroutines)
			Print(Report{Profiler: argument})
		case word == "stop" && profiler != nil:
			Print(profiler.Stop())
			profiler = nil
		default:
			others(word, argument)
		}
	}
}
