package node

import (
	"time"
)

// running is one run of a container, pretended or a process.
type running interface {
	// exited is closed when the run has ended; ending() then tells how.
	exited() <-chan struct{}
	ending() exit
	// terminate asks it to end, as SIGTERM does; kill ends it.
	terminate()
	kill()
	// usage is what it uses now.
	usage() usage
	// answers tells what a probe of it would find; used where there is no process to ask.
	answers(kind probeKind) (ok bool, output string)
}

type exit struct {
	code    int32
	reason  string // OOMKilled, StartError; otherwise it follows from the code
	message string
	at      time.Time
}

type usage struct {
	cpu    float64 // cores
	memory int64   // bytes
	at     time.Time
	window time.Duration
}

func (e exit) reasonOrDefault() string {
	switch {
	case e.reason != "":
		return e.reason
	case e.code == 0:
		return "Completed"
	default:
		return "Error"
	}
}
