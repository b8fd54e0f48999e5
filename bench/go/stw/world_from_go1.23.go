//go:build go1.23

package stw

import "unsafe"

// stopped is worldStop in proc.go of Go 1.23 to 1.27.
type stopped struct {
	reason                                             uint8
	startedStopping, finishedStopping, stoppingCPUTime int64
}

func stopTheWorld() stopped { return runtimeStopTheWorld(0) }

func startTheWorld(world stopped) { runtimeStartTheWorld(world) }

//go:linkname runtimeStopTheWorld runtime.stopTheWorld
func runtimeStopTheWorld(reason uint8) stopped

//go:linkname runtimeStartTheWorld runtime.startTheWorld
func runtimeStartTheWorld(world stopped)

//go:linkname forEachG runtime.forEachGRace
func forEachG(do func(gp unsafe.Pointer))
