//go:build !go1.23

package stw

import "unsafe"

// The beginning of g and gobuf in runtime2.go of Go 1.19 to 1.22.

type stack struct{ lo, hi uintptr }

type gobuf struct{ sp, pc, g, ctxt, ret, lr, bp uintptr }

type g struct {
	stack                    stack
	stackguard0, stackguard1 uintptr
	_panic, _defer, m        unsafe.Pointer
	sched                    gobuf
	syscallsp, syscallpc     uintptr
	stktopsp                 uintptr
	param                    unsafe.Pointer
	atomicstatus             uint32
}

func (gp *g) inSyscall() (bp, pc uintptr) { return gp.sched.bp, gp.syscallpc }
