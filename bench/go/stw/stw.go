// Package stw samples all goroutines the way that issue 31 of fgprof proposes: stop the world, take every stack by its
// frame pointers, start the world again. It calls functions of the runtime that are not for others (go:linkname), so
// programs that use it are linked with -checklinkname=0 from Go 1.23 on.
//
// It is what fgprof would be without runtime.GoroutineProfile; it is measured, not recommended.
package stw

import (
	"time"
	"unsafe"
)

// maxFrames is how many frames of a stack are kept: as many as fgprof keeps.
const maxFrames = 32

// statuses of a goroutine in runtime2.go, without the bit that says that the garbage collector looks at it.
const (
	gRunnable  = 1
	gSyscall   = 3
	gWaiting   = 4
	gPreempted = 9
	gScan      = 0x1000
)

// Sampler takes samples until it is stopped.
type Sampler struct {
	end, ended chan struct{}
	ticks      int
	// counts holds how often each stack was seen, by its hash.
	counts map[uint64]int
	// pcs holds the stacks of one tick one after the other, and ends where each of them ends: counting them can wait until
	// the world runs again.
	pcs  []uintptr
	ends []int
}

// Start takes a sample every period from now on.
func Start(period time.Duration) *Sampler {
	s := &Sampler{end: make(chan struct{}), ended: make(chan struct{}), counts: map[uint64]int{}}
	go s.run(period)
	return s
}

// Stop ends it; it gives how many samples of the program were taken, and how many goroutines were in them altogether.
func (s *Sampler) Stop() (ticks, goroutines int) {
	close(s.end)
	<-s.ended
	for _, count := range s.counts {
		goroutines += count
	}
	return s.ticks, goroutines
}

func (s *Sampler) run(period time.Duration) {
	defer close(s.ended)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-s.end:
			return
		case <-ticker.C:
			s.sample()
		}
	}
}

func (s *Sampler) sample() {
	s.pcs, s.ends = s.pcs[:0], s.ends[:0]
	world := stopTheWorld()
	forEachG(func(gp unsafe.Pointer) {
		s.take((*g)(gp))
	})
	startTheWorld(world)
	begin := 0
	for _, end := range s.ends {
		s.counts[hash(s.pcs[begin:end])]++
		begin = end
	}
	s.ticks++
}

func hash(pcs []uintptr) uint64 {
	h := uint64(len(pcs))
	for _, pc := range pcs {
		h = (h ^ uint64(pc)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return h
}

// take walks one stack. Only the goroutine that stopped the world runs now, so nothing moves.
func (s *Sampler) take(gp *g) {
	bp, pc := gp.sched.bp, gp.sched.pc
	switch gp.atomicstatus &^ gScan {
	case gRunnable, gWaiting, gPreempted:
	case gSyscall:
		bp, pc = gp.inSyscall()
	default:
		return
	}
	s.pcs = append(s.pcs, pc)
	for n := 1; n < maxFrames && bp >= gp.stack.lo && bp < gp.stack.hi-16; n++ {
		s.pcs = append(s.pcs, *(*uintptr)(unsafe.Pointer(bp + 8)))
		next := *(*uintptr)(unsafe.Pointer(bp))
		if next <= bp {
			break
		}
		bp = next
	}
	s.ends = append(s.ends, len(s.pcs))
}
