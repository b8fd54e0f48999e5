//go:build !go1.21

package stw

import "unsafe"

// stopped is what startTheWorld wants to know: nothing, until Go 1.21.
type stopped struct{}

func stopTheWorld() stopped {
	runtimeStopTheWorld("fgspy's benchmark")
	return stopped{}
}

func startTheWorld(stopped) { runtimeStartTheWorld() }

//go:linkname runtimeStopTheWorld runtime.stopTheWorld
func runtimeStopTheWorld(reason string)

//go:linkname runtimeStartTheWorld runtime.startTheWorld
func runtimeStartTheWorld()

//go:linkname forEachG runtime.forEachGRace
func forEachG(do func(gp unsafe.Pointer))
